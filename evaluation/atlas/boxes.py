"""Boxes that deserve a second look: next to nothing, everything, cut off at the borders, or drawn without a mask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets.crops import Box, read_boxes
from datasets.layouts.tables import read_rows
from runtime.errors import DataError
from runtime.names.spelling import unspell_path

TINY, EVERYTHING = 0.02, 0.98  # shares of the picture's area
NEAR = 0.005  # share of a side within which a box touches the border
BORDERS = 3  # borders that a box of something whole does not touch
CORNERS = ("tight_x1", "tight_y1", "tight_x2", "tight_y2")


@dataclass(frozen=True)
class FoundBox:
    """A box of boxes.csv, in pixels of the original: what is cropped, what is judged, and whether no mask was found."""

    crop: Box
    object: Box
    empty: bool = False


@dataclass(frozen=True)
class JudgedBox:
    """A crop's corners (x1, y1, x2, y2) as shares of the picture, what is odd about its object, and how odd it is."""

    corners: tuple[float, float, float, float]
    faults: tuple[str, ...]
    suspicion: float


def read_found_boxes(folder: Path) -> dict[str, FoundBox]:
    """boxes.csv of a crop folder (or the file itself) by key; where DDT wrote it, also masks that were empty.

    {} where there is no such file: crops that are files of their own tell no box. Raises DataError for a broken one.
    """
    path = folder if folder.is_file() else folder / "boxes.csv"
    if not path.is_file():
        return {}
    crops, tight = read_boxes(path), dict(read_tight(path))
    cuts = path.with_name("cuts.csv")
    rows = read_rows(cuts, ("path", "empty")) if cuts.is_file() else []
    empty = {os.path.normpath(unspell_path(row["path"])) for _, row in rows if row["empty"] == "1"}
    return {key: FoundBox(box, tight.get(key, box), key in empty) for key, box in crops.items()}


def read_tight(path: Path) -> Iterator[tuple[str, Box]]:
    """The boxes of the masks themselves, by key, where the file has them."""
    for line, row in read_rows(path, ("path",)):
        if all(row.get(corner) for corner in CORNERS):
            try:
                box = Box(*(float(row[corner]) for corner in CORNERS))
            except ValueError as error:
                raise DataError(f"{path}, line {line}: {', '.join(CORNERS)} are no numbers ({error}); fix them, or run "
                                "DDT again") from error
            yield os.path.normpath(unspell_path(row["path"])), box


def judge_box(found: FoundBox, width: float, height: float) -> JudgedBox:
    """A box on a picture of `width` x `height` pixels of the original."""
    corners = share_corners(found.crop, width, height)
    x1, y1, x2, y2 = share_corners(found.object, width, height)
    area = (x2 - x1) * (y2 - y1)
    touched = sum((x1 <= NEAR, y1 <= NEAR, x2 >= 1 - NEAR, y2 >= 1 - NEAR))
    faults = {"no object was found": 3.0 * found.empty, "nearly nothing": 2.0 + (TINY - area) if area < TINY else 0.0,
              "nearly everything": 2.0 * (area > EVERYTHING),
              f"touches {touched} borders": touched / 4 if touched >= BORDERS and area <= EVERYTHING else 0.0}
    return JudgedBox(corners, tuple(name for name, weight in faults.items() if weight), sum(faults.values()))


def share_corners(box: Box, width: float, height: float) -> tuple[float, float, float, float]:
    """The corners of what lies in the picture, as shares of its sides."""
    x1, x2 = (min(max(value / width, 0.0), 1.0) for value in (box.x1, box.x2))
    y1, y2 = (min(max(value / height, 0.0), 1.0) for value in (box.y1, box.y2))
    return x1, y1, x2, y2
