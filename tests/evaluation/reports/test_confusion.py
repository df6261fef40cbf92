"""The confusion matrix: counts, the list of errors, and pictures that grow with neither names nor classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.metrics.classification import count_confusions
from evaluation.reports.confusion import (
    EMPTY,
    RIGHT,
    Confusion,
    describe_confusion,
    describe_missed,
    draw_confusion,
    list_confusions,
    paint,
    shorten_middle,
)

COUNTS = torch.tensor([[8, 2, 0], [3, 7, 0], [0, 2, 0]])


def test_errors_are_listed_by_number_then_by_share() -> None:
    assert list_confusions(COUNTS) == [Confusion(1, 0, 3, 10), Confusion(2, 1, 2, 2), Confusion(0, 1, 2, 10)]
    assert list_confusions(COUNTS, 1) == [Confusion(1, 0, 3, 10)] and list_confusions(torch.eye(3).long()) == []


def test_words() -> None:
    names = ["crow", "raven", "owl"]
    assert describe_confusion(Confusion(1, 0, 3, 10), names) == "3 of 10 (30 %)  raven → crow"
    assert describe_missed(COUNTS, names, 2) == ["0 of 2 (0 %)  owl", "7 of 10 (70 %)  raven"]
    numbered = [f"bird {place}" for place in range(100)]
    assert describe_confusion(Confusion(42, 7, 1, 4), numbered) == "1 of 4 (25 %)  42 bird 42 → 7 bird 7"
    assert shorten_middle("Rough-winged Swallow", 9) == "Roug…llow" and shorten_middle("crow", 9) == "crow"


def test_colours_show_shares_of_rows() -> None:
    counts = COUNTS.clone()
    counts[2] = 0
    picture = paint(counts)
    assert tuple(picture[2, 0]) == EMPTY and tuple(picture[0, 2]) == (255, 255, 255)
    assert picture[0, 0, 1] > picture[0, 0, 0] and picture[1, 0, 0] > picture[1, 0, 1]
    assert tuple(paint(torch.eye(3).long())[1, 1]) == RIGHT
    rare = torch.tensor([[99, 1], [0, 1]])
    assert paint(rare)[0, 1, 1] < 200  # one image of a hundred is still seen


@pytest.mark.parametrize(("classes", "widest"), [(12, 1600), (60, 2200), (555, 2000)])
def test_pictures_stay_readable(classes: int, widest: int, tmp_path: Path) -> None:
    labels = torch.arange(classes).repeat(3)
    predictions = torch.where(torch.arange(3 * classes) % 5 == 0, (labels + 1) % classes, labels)
    counts = count_confusions(predictions, labels, classes)
    names = [f"a rather long name of a class, number {place}" for place in range(classes)]
    draw_confusion(counts, names, tmp_path / "cm.png", title="Test", borders=(5,) if classes == 12 else ())
    picture = Image.open(tmp_path / "cm.png").convert("RGB")
    assert picture.width <= widest and picture.height <= 1600
    pixels = np.asarray(picture).reshape(-1, 3).astype(int)
    right = (pixels == np.array(RIGHT)).all(1).sum()
    # Each class that is always right has at least 2 x 2 pixels; the frame may cover those in the corners.
    assert right >= 4 * (int((counts.diag() == 3).sum()) - 2) and right > 0
