"""Doubtful labels against naive loops, and against labels that are known to be wrong."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from evaluation.audit.label_errors import (
    FOLDS,
    deal_folds,
    judge_labels,
    measure_doubts,
    plant_errors,
    rate_disagreement,
    rate_labels,
)
from evaluation.sorting.cloud import find_nearest_others
from runtime.errors import DataError


def draw_classes(count: int = 60, classes: int = 4, spread: float = 0.25) -> tuple[Tensor, Tensor]:
    """Unit points around class directions, and their labels."""
    labels = torch.arange(count) % classes
    points = torch.eye(classes, 8)[labels] + spread * torch.randn(count, 8)
    return torch.nn.functional.normalize(points, dim=1), labels


def test_disagreement_is_the_naive_sum() -> None:
    points, labels = draw_classes(30)
    labels[::7] = -1
    near, cosine = find_nearest_others(points, 5)
    rated = rate_disagreement(near, cosine, labels, 0.2)
    for index in range(len(points)):
        votes = [(int(labels[other]), math.exp(float(like) / 0.2))
                 for other, like in zip(near[index].tolist(), cosine[index].tolist()) if labels[other] >= 0]
        against = sum(weight for label, weight in votes if label != labels[index])
        expected = against / sum(weight for _, weight in votes) if labels[index] >= 0 and votes else 0.0
        assert float(rated[index]) == pytest.approx(expected, abs=1e-5)


def test_a_lone_dissenter_is_disagreed_with_by_all() -> None:
    near, cosine = torch.tensor([[1, 2], [0, 2], [0, 1]]), torch.full((3, 2), 0.5)
    assert rate_disagreement(near, cosine, torch.tensor([1, 0, 0])).tolist() == pytest.approx([1.0, 0.5, 0.5])
    assert rate_disagreement(near, cosine, torch.tensor([-1, -1, 0])).tolist() == [0.0, 0.0, 0.0]


def test_judging_by_hand() -> None:
    probability = torch.tensor([[0.9, 0.1, 0.0], [0.3, 0.7, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 0.0], [0.4, 0.6, 0.0]])
    judged = judge_labels(probability, torch.tensor([0, 0, 1, 1, -1]))
    assert judged.doubt.tolist() == pytest.approx([0.1, 0.7, 0.2, 0.0, 0.0])
    assert judged.suggested.tolist() == [1, 1, 0, -1, -1] and judged.flagged.tolist() == [False, True, False, False, False]
    unsure = judge_labels(torch.tensor([[0.2, 0.4, 0.4]]), torch.tensor([0]))
    assert float(unsure.doubt) == pytest.approx(2 / 3) and not unsure.flagged.any()


def test_planted_errors_come_first_and_their_own_label_is_suggested() -> None:
    points, labels = draw_classes(200)
    planted = plant_errors(labels, 0.05, seed=3)
    wrong = planted != labels
    assert int(wrong.sum()) == 10 and torch.equal(planted, plant_errors(labels, 0.05, seed=3))
    doubts = rate_labels(points, planted)
    assert torch.equal(doubts.suggested[wrong], labels[wrong])
    scores = measure_doubts(doubts, wrong)
    assert scores["found20"] == 1 and scores["precision20"] == 0.5 and scores["ap"] == pytest.approx(1)
    assert torch.equal(rate_labels(points, planted).doubt, doubts.doubt)


def test_a_copy_vouches_for_no_copy() -> None:
    points, labels = draw_classes(80)
    labels = labels.clone()
    copies = [index for index in range(40) if index % 4 == 0][:6]  # six copies of one picture, all under a wrong label
    points[copies], labels[copies] = points[0].clone(), 1
    together = torch.full((80,), -1)
    together[copies] = 0
    alone, joined = rate_labels(points, labels), rate_labels(points, labels, together)
    assert float(joined.doubt[copies].min()) > float(alone.doubt[copies].max())
    assert (joined.suggested[copies] == 0).all()
    assert len(deal_folds(labels, together)[copies].unique()) == 1


def test_every_class_is_spread_over_the_folds() -> None:
    labels = torch.tensor([0] * 10 + [1] * 5 + [2] * 3)
    folds = deal_folds(labels)
    for label, count in ((0, 2), (1, 1)):
        assert torch.bincount(folds[labels == label], minlength=FOLDS).tolist() == [count] * FOLDS
    assert len(folds[labels == 2].unique()) == 3


def test_what_cannot_be_judged_is_not_doubted() -> None:
    points, labels = draw_classes(40)
    labels[0], labels[1] = 4, -1  # the only one of its class; none
    doubts = rate_labels(points, labels)
    assert doubts.doubt[:2].tolist() == [0, 0] and doubts.suggested[:2].tolist() == [-1, -1]
    for all_same in (torch.zeros(40, dtype=torch.long), torch.full((40,), -1)):
        assert not rate_labels(points, all_same).flagged.any()
    with pytest.raises(DataError, match="two labels"):
        plant_errors(torch.zeros(40, dtype=torch.long), 0.1, 0)
    assert int((plant_errors(torch.tensor([0, 1, 0, 1]), 0.05, 0) != torch.tensor([0, 1, 0, 1])).sum()) == 1  # one at least
