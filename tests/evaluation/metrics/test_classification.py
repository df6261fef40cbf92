"""Accuracies by branch, class and source against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from datasets.joint import Source
from evaluation.metrics.classification import (
    count_confusions,
    find_ranks,
    score_branches,
    score_classes,
    score_sources,
    score_top,
)

CLASSES = 9
SOURCES = (Source("birds", 0, 5), Source("dogs", 5, 3), Source("cats", 8, 1))


@pytest.fixture
def logits() -> Tensor:
    """Scores of 300 images that are often right, with many equal values."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, (300, CLASSES)).astype(np.float32)
    values[np.arange(300), labels().numpy().clip(0)] += rng.integers(0, 4, 300)
    return torch.from_numpy(values)


def labels() -> Tensor:
    """Labels of the 300 images; some have none, one class has no image."""
    found = torch.from_numpy(np.random.default_rng(1).integers(0, CLASSES, 300))
    found[found == 7] = 6
    found[::17] = -1
    return found


def count_top(logits: Tensor, labels: Tensor, depth: int, rows: range | list[int]) -> float:
    """The share of labelled rows with the label among the best; of equals the lower class is better."""
    hits = []
    for row in rows:
        if labels[row] >= 0:
            order = sorted(range(logits.shape[1]), key=lambda k: (-float(logits[row, k]), k))
            hits.append(int(labels[row]) in order[:depth])
    return sum(hits) / len(hits)


def test_top_scores_equal_a_plain_loop(logits: Tensor) -> None:
    scores = score_branches({"cls": logits, "dist": -logits}, labels())
    for name, values in (("cls", logits), ("dist", -logits)):
        expected = [count_top(values, labels(), depth, range(300)) for depth in (1, 3, 5)]
        assert [scores[name].top1, scores[name].top3, scores[name].top5] == pytest.approx(expected, abs=1e-12)
    assert scores["cls"].images == int((labels() >= 0).sum()) < 300


def test_rank_0_is_what_argmax_calls_right(logits: Tensor) -> None:
    known = labels() >= 0
    right = logits[known].argmax(dim=1) == labels()[known]
    assert torch.equal(find_ranks(logits[known], labels()[known]) == 0, right)


def test_a_network_of_nans_is_never_right() -> None:
    ranks = find_ranks(torch.full((4, 7), torch.nan), torch.tensor([0, 3, 6, 1]))
    assert ranks.tolist() == [7] * 4


def test_few_classes_and_no_images() -> None:
    scores = score_top(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 0]))
    assert (scores.top1, scores.top3, scores.top5) == (0.5, 1.0, 1.0)
    empty = score_top(torch.zeros(3, 4), torch.full((3,), -1))
    assert empty.images == 0 and math.isnan(empty.top1)


def test_class_scores_equal_a_plain_loop(logits: Tensor) -> None:
    predictions, truth = logits.argmax(dim=1), labels()
    scores = score_classes(predictions, truth, [f"c{k}" for k in range(CLASSES)])
    for k in range(CLASSES):
        pairs = [(int(p), int(y)) for p, y in zip(predictions, truth) if y >= 0]
        hit = sum(p == y == k for p, y in pairs)
        said, there = sum(p == k for p, _ in pairs), sum(y == k for _, y in pairs)
        precision, recall = hit / said if said else 0.0, hit / there if there else 0.0
        f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
        found = (scores.precision[k], scores.recall[k], scores.f1[k], scores.support[k])
        assert found == pytest.approx((precision, recall, f1, there), abs=1e-12)
    tested = [k for k in range(CLASSES) if k != 7]
    assert scores.support[7] == 0 and scores.macro()["recall"] == pytest.approx(scores.recall[tested].mean())
    assert scores.rows()[3]["class"] == "c3" and scores.rows()[3]["support"] == scores.support[3]


def test_source_scores_equal_a_plain_loop(logits: Tensor) -> None:
    truth, predictions = labels(), logits.argmax(dim=1)
    found = score_sources(logits, truth, SOURCES)
    owner = lambda k: 0 if k < 5 else 1 if k < 8 else 2  # noqa: E731
    expected = np.zeros((3, 3), dtype=int)
    for y, p in zip(truth.tolist(), predictions.tolist()):
        if y >= 0:
            expected[owner(y), owner(p)] += 1
    assert found.confusion.tolist() == expected.tolist()
    for place, source in enumerate(SOURCES):
        rows = [row for row in range(300) if truth[row] >= 0 and owner(int(truth[row])) == place]
        assert found.scores[source.name].images == len(rows)
        assert found.scores[source.name].top1 == pytest.approx(count_top(logits, truth, 1, rows), abs=1e-12)
        assert found.scores[source.name].top5 == pytest.approx(count_top(logits, truth, 5, rows), abs=1e-12)
    whole = score_top(logits, truth)
    parts = [(one.top1, one.images) for one in found.scores.values()]
    assert whole.top1 == pytest.approx(sum(share * count for share, count in parts) / whole.images)


def test_counts_are_sklearns() -> None:
    labels, predictions = torch.randint(-1, 7, (400,)), torch.randint(0, 7, (400,))
    known = labels >= 0
    expected = confusion_matrix(labels[known], predictions[known], labels=np.arange(7))
    assert np.array_equal(count_confusions(predictions, labels, 7).numpy(), expected)
    assert count_confusions(labels[:0], labels[:0], 3).tolist() == [[0] * 3] * 3
