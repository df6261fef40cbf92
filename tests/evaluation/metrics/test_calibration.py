"""Calibration against plain loops and values known in closed form."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from evaluation.metrics.calibration import calibrate, expected_gap
from evaluation.reports.reliability import draw_reliability


def test_numbers_equal_a_plain_loop() -> None:
    probabilities = (2 * torch.randn(500, 6)).softmax(1)
    labels = torch.randint(-1, 6, (500,))
    found = calibrate(probabilities, labels, bins=10)
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(10)]
    brier = nll = 0.0
    rows = [row for row in range(500) if labels[row] >= 0]
    for row in rows:
        shares, label = probabilities[row].double().tolist(), int(labels[row])
        best = max(shares)
        bins[min(max(math.ceil(best * 10) - 1, 0), 9)].append((best, shares.index(best) == label))
        brier += sum((share - (k == label)) ** 2 for k, share in enumerate(shares))
        nll -= math.log(shares[label])
    gaps = [abs(sum(c for c, _ in held) - sum(h for _, h in held)) / len(held) if held else 0.0 for held in bins]
    assert found.count.tolist() == [len(held) for held in bins]
    assert found.ece == pytest.approx(sum(g * len(h) for g, h in zip(gaps, bins)) / len(rows))
    assert found.mce == pytest.approx(max(gaps))
    assert found.brier == pytest.approx(brier / len(rows)) and found.nll == pytest.approx(nll / len(rows))


def test_the_gap_of_answers_is_that_of_their_probabilities() -> None:
    probabilities, labels = (2 * torch.randn(300, 5)).softmax(1), torch.randint(0, 5, (300,))
    best, answers = probabilities.max(dim=1)
    assert expected_gap(best, answers == labels) == pytest.approx(calibrate(probabilities, labels).ece)
    assert expected_gap(torch.tensor([0.2, 0.2, 0.8]), torch.tensor([True, False, True])) == pytest.approx(0.8 / 3)


def test_a_perfect_and_a_hopeless_network() -> None:
    sure = torch.eye(3)
    right = calibrate(sure, torch.arange(3))
    assert right.to_dict() == {"ece": 0.0, "mce": 0.0, "brier": 0.0, "nll": 0.0}
    wrong = calibrate(sure, torch.tensor([1, 2, 0]))
    assert wrong.ece == wrong.mce == 1.0 and wrong.brier == 2.0 and 80 < wrong.nll < math.inf


def test_a_network_that_knows_nothing_and_says_so_is_calibrated() -> None:
    found = calibrate(torch.full((400, 4), 0.25), torch.arange(400) % 4)
    assert found.ece == pytest.approx(0) and found.nll == pytest.approx(math.log(4))
    assert found.brier == pytest.approx(0.75) and found.count[3] == 400


def test_without_labels_there_is_nothing_to_calibrate() -> None:
    with pytest.raises(ValueError, match="labels"):
        calibrate(torch.full((2, 2), 0.5), torch.tensor([-1, -1]))


def test_the_diagram_is_a_picture(tmp_path: Path) -> None:
    draw_reliability(calibrate((2 * torch.randn(60, 4)).softmax(1), torch.randint(4, (60,))), tmp_path / "r.png", "Test")
    assert Image.open(tmp_path / "r.png").size == (600, 744)
