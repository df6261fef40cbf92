"""From indicator maps to rows."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.crops import Box
from DDT.descriptors import MapReading
from DDT.localize import Frame
from DDT.policy import Policy
from DDT.stages import Rule, make_box_row

READING = MapReading(size=448)
FRAME = Frame(280, 140)


def paint() -> np.ndarray:
    """An object in rows 4..7 and columns 4..9 of a 14 x 14 map: 100 x 40 pixels of FRAME's image, around (140, 60)."""
    indicator = np.full((14, 14), -1.0, dtype=np.float32)
    indicator[0, 0], indicator[4:8, 4:10] = 0.0, 3.0
    return indicator


def test_an_object() -> None:
    row = make_box_row(paint(), "a.jpg", FRAME, Rule(Policy("none"), rate=1.0), READING)
    assert row.tight == row.cut == row.crop == Box(80, 40, 200, 80)
    assert (row.rate, row.frame, row.empty) == (1.0, FRAME, False)
    searched = make_box_row(paint(), "a.jpg", FRAME, Rule(Policy()), READING)
    assert searched.tight == row.tight and searched.rate == 0.85
    assert vars(searched.cut) == pytest.approx({"x1": 89, "y1": 43, "x2": 191, "y2": 77})
    assert searched.crop == Box(89, 9, 191, 111)


def test_threshold_reaches_the_mask() -> None:
    indicator = paint()
    indicator[4:8, 4:6] = 1.0
    half = make_box_row(indicator, "a.jpg", FRAME, Rule(Policy("none"), rate=1.0, over_num=0.5), READING)
    assert half.tight == Box(120, 40, 200, 80)


def test_without_a_mask() -> None:
    nothing = -np.ones((14, 14), dtype=np.float32)
    row = make_box_row(nothing, "a.jpg", FRAME, Rule(Policy("none")), READING)
    assert row.tight == row.cut == row.crop == Box(0, 0, 280, 140) and (row.rate, row.empty) == (1.0, True)
    square = make_box_row(nothing, "a.jpg", FRAME, Rule(Policy()), READING)
    assert square.cut == row.cut and square.crop == Box(70, 0, 210, 140)


def test_size_includes_the_banner() -> None:
    row = make_box_row(paint(), "a.jpg", FRAME, Rule(Policy()), MapReading(size=448, crop_bottom=20))
    assert row.frame == Frame(280, 160) and row.crop.y2 <= 140
