"""Overlap with ground truth."""

from __future__ import annotations

import random

import pytest

from datasets.crops import Box
from DDT.boxes import BoxRow
from DDT.corloc import format_table, measure_overlaps, score_splits
from DDT.localize import Frame
from runtime.errors import DataError

UNIT = Box(0, 0, 10, 10)


def make_row(path: str, crop: Box, tight: Box, cut: Box) -> BoxRow:
    return BoxRow(path, crop, tight, cut, 0.85, Frame(20, 20))


def test_overlaps_are_of_the_mask_the_cut_and_the_policy_in_this_order() -> None:
    row = make_row("a.jpg", crop=Box(10, 10, 20, 20), tight=UNIT, cut=Box(5, 0, 15, 10))
    assert measure_overlaps(row, UNIT) == [1, pytest.approx(1 / 3), 0]
    point = Box(3, 3, 3, 3)
    assert measure_overlaps(make_row("a.jpg", point, point, UNIT), point) == [0, 0, 0]


def test_overlaps_are_those_of_whole_pixels() -> None:
    chance = random.Random(3)
    for _ in range(50):
        x, y = (sorted(chance.sample(range(21), 2)) for _ in range(2))
        one, other = Box(x[0], y[0], x[1], y[1]), Box(chance.randrange(9), 4, chance.randrange(10, 20), 17)
        pixels = [{(a, b) for a in range(int(box.x1), int(box.x2)) for b in range(int(box.y1), int(box.y2))} for box in (one, other)]
        expected = len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])
        assert measure_overlaps(make_row("a.jpg", one, one, one), other) == [pytest.approx(expected)] * 3


def test_scores_of_each_box_and_split() -> None:
    half, far = Box(0, 0, 10, 5), Box(15, 15, 20, 20)
    rows = [
        make_row("train/a.jpg", crop=UNIT, tight=half, cut=far),
        make_row("test/a.jpg", crop=far, tight=Box(0, 0, 10, 4.9), cut=UNIT),
        make_row("test/unlisted.jpg", crop=UNIT, tight=UNIT, cut=UNIT),
    ]
    truth = {"train/a.jpg": UNIT, "test/a.jpg": UNIT, "other.jpg": UNIT}
    scores = score_splits(rows, truth, {"train": ["train/a.jpg"], "test": ["test/a.jpg", "test/unlisted.jpg"]})
    table = {(s.split, s.box): (s.images, s.corloc, pytest.approx(s.mean_iou)) for s in scores}
    assert table["train", "mask"] == (1, 1.0, 0.5)
    assert table["test", "mask"] == (1, 0.0, 0.49)
    assert table["all", "mask"] == (2, 0.5, 0.495)
    assert table["all", "cut"] == (2, 0.5, 0.5) and table["all", "policy"] == (2, 0.5, 0.5)
    assert len(format_table(scores).splitlines()) == 1 + 9


def test_truth_of_another_set() -> None:
    rows = [make_row("train/a.jpg", UNIT, UNIT, UNIT)]
    with pytest.raises(DataError, match="must look like train/a.jpg"):
        score_splits(rows, {"a.jpg": UNIT}, {"train": ["train/a.jpg"]})
