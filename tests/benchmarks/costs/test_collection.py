"""The study of a large collection, small: what it draws, and that its steps follow one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.costs.collection import draw_embeddings, main, parse
from runtime.errors import ConfigError


def test_an_embedding_is_a_function_of_its_number() -> None:
    some = draw_embeddings(np.array([5, 4097, 9000]), 16, 0)
    assert np.array_equal(some, draw_embeddings(np.arange(10_000), 16, 0)[[5, 4097, 9000]])
    np.testing.assert_allclose(np.linalg.norm(some, axis=1), 1, atol=1e-6)
    assert not np.array_equal(some, draw_embeddings(np.array([5, 4097, 9000]), 16, 1))


@pytest.mark.slow
def test_rows_come_and_go(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--out", str(tmp_path / "out"), "--count", "6000", "--width", "16", "--change", "300", "--to", "npy",
             "--shard-size", "1000", "--index", "ivf", "--lists", "20"]
    assert main(words) == 0
    told = capfd.readouterr().out
    assert "ivf: built" in told and "ivf: 300 added, 0 removed, 6000 kept" in told
    assert "ivf: 0 added, 300 removed, 6000 kept" in told and told.count("COST") == 6
    with pytest.raises(ConfigError, match="give a new folder"):
        parse(words)
