"""Indices: the exact one is exact, the others nearly, and a file gives the same answers again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.options import INDEX_KINDS
from evaluation.retrieval.index import IndexPlan, build_index, measure_index, search_index, settle_index
from evaluation.retrieval.stored import load_index, save_index
from runtime.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def embeddings() -> NDArray[np.float32]:
    """Unit embeddings [900, 16] around 30 centres."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 16))[rng.integers(0, 30, 900)] + 0.5 * rng.normal(size=(900, 16))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_saved_and_loaded_it_answers_the_same_and_recall_is_told(
    kind: str, embeddings: NDArray[np.float32], tmp_path: Path
) -> None:
    plan = IndexPlan(kind, lists=12, probes=6)
    index = build_index(embeddings, plan)
    path = save_index(index, tmp_path, plan, {"embeddings": "these"})
    again = load_index(path, {"embeddings": "these"})
    found = search_index(index, embeddings[:40], 10).ids
    assert np.array_equal(found, search_index(again, embeddings[:40], 10).ids)
    report = measure_index(again, embeddings, queries=100)
    assert report.queries == 100 and list(report.recall) == [1, 10, 100]
    if kind == "flat":
        assert np.array_equal(found, np.argsort(-(embeddings[:40] @ embeddings.T), axis=1, kind="stable")[:, :10])
        assert set(report.recall.values()) == {1.0}
    else:
        assert report.recall[10] > 0.8


def test_effort_buys_recall_and_the_count_is_that_of_plain_loops(embeddings: NDArray[np.float32]) -> None:
    weak, strong = (build_index(embeddings, IndexPlan("ivf", lists=30, probes=probes)) for probes in (1, 30))
    low, high = measure_index(weak, embeddings, queries=900), measure_index(strong, embeddings, queries=900)
    assert low.recall[100] < 0.9 and set(high.recall.values()) == {1.0}
    scores = embeddings @ embeddings.T
    np.fill_diagonal(scores, -2)
    found = search_index(weak, embeddings, 11).ids.tolist()
    hits = [len((set(found[i]) - {i}) & set(np.argsort(-scores[i])[:10])) for i in range(900)]
    assert low.recall[10] == pytest.approx(np.mean(hits) / 10, abs=1e-3)


def test_what_does_not_fit_is_refused(embeddings: NDArray[np.float32], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="5 bytes do not divide the width 16; ivfpq learns 256 codes"):
        settle_index(IndexPlan("ivfpq", bytes=5), 100, 16)
    with pytest.raises(ConfigError, match="no index is called 'tree'"):
        build_index(embeddings, IndexPlan("tree"))
    path = save_index(build_index(embeddings, IndexPlan()), tmp_path, IndexPlan(), {"weights": "a"})
    with pytest.raises(DataError, match=r"other embeddings \(weights differ\)"):
        load_index(path, {"weights": "b"})
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="no readable index"):
        load_index(path, {"weights": "a"})


def test_lists_take_every_seed_that_a_flag_may_be() -> None:
    embeddings = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    assert build_index(embeddings, IndexPlan("ivf", lists=2, seed=2**32 - 1)).ntotal == 64


def test_a_graph_answers_where_metric_learning_has_replaced_the_search_of_faiss() -> None:
    """pytorch-metric-learning imports faiss.contrib.torch_utils, whose `search` knows no parameters."""
    program = """
import faiss.contrib.torch_utils, numpy
from evaluation.retrieval.index import IndexPlan, build_index, search_index
rows = numpy.eye(16, dtype=numpy.float32)
assert search_index(build_index(rows, IndexPlan("hnsw")), rows, 1).ids[:, 0].tolist() == [*range(16)]
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_recall_is_the_same_piece_by_piece(embeddings: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    index = build_index(embeddings, IndexPlan("ivf", lists=20, probes=3))
    whole = measure_index(index, embeddings).recall
    monkeypatch.setattr("evaluation.retrieval.index.CHUNK", 64)
    assert measure_index(index, embeddings).recall == whole
