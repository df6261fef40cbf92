"""What DDT says of one picture, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.crops import Box
from DDT.boxes import BoxRow
from DDT.localize import largest_component, threshold


@dataclass(frozen=True)
class Located:
    """Where the object of a picture is. Boxes are (x1, y1, x2, y2) in pixels of the picture, half open.

    box: around the mask. cut: the box of the best cut rate. crop: the cut by the policy, whole pixels; what run_ddt.sh
    cuts out. found: False where no mask outlines an object; the boxes are the whole picture then, or a square of it.
    scores float32 [h, w]: the indicator map, over the picture without the rows of crop_bottom, which
    `size` counts; above 0 is object. mask bool [h, w]: its largest
    component. group: the kind of thing that the picture is, counted from 0. margin: how clearly, in [0, 1].
    """

    box: tuple[float, float, float, float]
    cut: tuple[float, float, float, float]
    crop: tuple[int, int, int, int]
    found: bool
    scores: NDArray[np.float32]
    mask: NDArray[np.bool_]
    size: tuple[int, int]
    group: int
    margin: float


def make_located(row: BoxRow, indicator: NDArray[np.float32], over_num: float) -> Located:
    """The same of the row of boxes.csv and the picture's indicator map [h, w]."""
    crop = list_corners(row.crop)
    return Located(
        box=list_corners(row.tight), cut=list_corners(row.cut),
        crop=(int(crop[0]), int(crop[1]), int(crop[2]), int(crop[3])), found=not row.empty, scores=indicator,
        mask=largest_component(threshold(indicator, over_num)), size=(row.frame.width, row.frame.height),
        group=row.member.group, margin=row.member.margin)


def list_corners(box: Box) -> tuple[float, float, float, float]:
    """A box's corners."""
    return float(box.x1), float(box.y1), float(box.x2), float(box.y2)
