"""run_lcr.sh: what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("words", [[], ["cub", "moco", "data", "name"], ["bird", "moco", "data", "name", "cpu"],
                                   ["cub", "simclr", "data", "name", "cpu"]])  # fmt: skip
def test_wrong_words_tell_the_usage(words: list[str]) -> None:
    done = subprocess.run([str(ROOT / "run_lcr.sh"), *words], capture_output=True, text=True)
    assert done.returncode == 2 and "usage:" in done.stderr and "byol|moco" in done.stderr
