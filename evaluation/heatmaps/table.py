"""Boxes of pictures as their view shows them, and the table of maps scored against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.crops import Box, read_boxes
from datasets.files import decode
from datasets.images import ImageSet
from datasets.views.recipes import View
from evaluation.heatmaps.box_scores import place_box
from runtime.files import open_table


def find_view_boxes(images: ImageSet, root: Path, wanted: str, view: View, crop_bottom: int = 0) -> list[Box | None]:
    """The box of every picture in shares of its view; None where there is none.

    `wanted` is a file, "auto" (boxes.csv in the root, if there) or "none".
    """
    file = root / "boxes.csv" if wanted == "auto" else Path(wanted)
    if wanted == "none" or (wanted == "auto" and not file.is_file()):
        return [None] * len(images)
    boxes = read_boxes(file)
    found = []
    for sample in images.samples:
        box = boxes.get(sample.key)
        size = decode(sample.path, crop_bottom).size if box is not None else (1, 1)
        found.append(place_box(box, *size, view.size, view.recipe) if box is not None else None)
    return found


def write_box_table(
    path: Path, images: ImageSet, rows: Sequence[Mapping[str, float]], means: Mapping[str, float],
    facts: Sequence[Mapping[str, str]] | None = None,
) -> None:
    """A line for each picture, with `facts` of it where there are any; the last line holds the means."""
    told = facts or [{}] * len(rows)
    head = ["path", *told[0], *means]
    keys = [sample.key for sample in images.samples]
    with open_table(path) as writer:
        writer.writerow(head)
        for key, fact, row in [*zip(keys, told, rows, strict=True), ("MEAN", {}, means)]:
            cells = {"path": key, **fact, **{name: f"{value:.4f}" for name, value in row.items()}}
            writer.writerow([cells.get(name, "") for name in head])
