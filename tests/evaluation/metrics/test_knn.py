"""Nearest-neighbour votes against a plain loop."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.knn import knn_accuracy, knn_leave_one_out


def vote(scores: list[float], labels: list[int], k: int, temperature: float) -> int:
    """The winner among the k best, by summed exp(score / temperature)."""
    ballot: dict[int, float] = defaultdict(float)
    for index in sorted(range(len(scores)), key=lambda i: -scores[i])[:k]:
        ballot[labels[index]] += math.exp(scores[index] / temperature)
    return max(ballot, key=ballot.get)


def noisy_classes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (count,), generator=generator)
    centres = torch.randn(6, 24, generator=torch.Generator().manual_seed(99))
    return centres[labels] + 2.5 * torch.randn(count, 24, generator=generator), labels


@pytest.mark.parametrize("k, temperature", [(1, 0.07), (5, 0.07), (20, 0.5), (10_000, 0.07)])
def test_train_to_test_equals_a_plain_loop(k: int, temperature: float) -> None:
    (train, labels), (test, wanted) = noisy_classes(300, 0), noisy_classes(270, 1)
    scores = F.normalize(test, dim=1) @ F.normalize(train, dim=1).T
    guesses = [vote(row, labels.tolist(), k, temperature) for row in scores.tolist()]
    expected = sum(guess == label for guess, label in zip(guesses, wanted.tolist())) / 270
    assert 0.2 < expected < 1.0
    assert knn_accuracy(train, labels, test, wanted, k, temperature) == pytest.approx(expected)


def test_leave_one_out_equals_a_plain_loop() -> None:
    features, labels = noisy_classes(280, 2)
    unit = F.normalize(features, dim=1)
    hits = 0
    for index in range(280):
        others = [other for other in range(280) if other != index]
        guess = vote((unit[others] @ unit[index]).tolist(), labels[others].tolist(), 7, 0.07)
        hits += guess == int(labels[index])
    assert knn_leave_one_out(features, labels, 7, 0.07) == pytest.approx(hits / 280)


def test_an_image_does_not_vote_for_itself() -> None:
    assert knn_leave_one_out(torch.eye(4) + 0.1, torch.tensor([0, 1, 2, 3]), k=3) == 0.0


def test_tiny_temperature_does_not_overflow() -> None:
    features, labels = noisy_classes(50, 3)
    assert knn_leave_one_out(features, labels, 5, 1e-4) == pytest.approx(knn_leave_one_out(features, labels, 1, 1.0))


def test_unlabelled_images_neither_vote_nor_count() -> None:
    features, labels = noisy_classes(120, 4)
    hidden = labels.clone()
    hidden[:40] = -1
    assert knn_leave_one_out(features, hidden, 5) == knn_leave_one_out(features[40:], labels[40:], 5)
    with pytest.raises(ValueError, match="labelled"):
        knn_leave_one_out(features, torch.full((120,), -1), 5)
