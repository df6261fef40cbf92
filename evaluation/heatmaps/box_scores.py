"""Where a network looks: predicted rationale M, the CAM G of its own loss, the norm of its map; and how well each

finds the object's box, against a map that is the same everywhere (whose score is the box's share of the picture).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.crops import Box
from datasets.views.recipes import RECIPES


@dataclass(frozen=True)
class BoxScore:
    """How a map finds a box: `pointing` whether its peak lies inside, `energy` the share of its mass that does."""

    pointing: float
    energy: float


def place_box(box: Box, width: int, height: int, size: int, recipe: str = "eval") -> Box | None:
    """A box in pixels of a width x height picture as shares of its test view of that size; None when out of sight."""
    shape = RECIPES[recipe](size)[0].size  # of Resize: the short side, or height and width whatever the aspect
    across, down = (shape[-1] / width, shape[0] / height) if len(shape) == 2 else 2 * [shape[0] / min(width, height)]
    left, top = (width * across - size) / 2, (height * down - size) / 2
    x1, x2 = (min(max((x * across - left) / size, 0.0), 1.0) for x in (box.x1, box.x2))
    y1, y2 = (min(max((y * down - top) / size, 0.0), 1.0) for y in (box.y1, box.y2))
    return Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def cover(box: Box, rows: int, columns: int) -> Tensor:
    """Share of each cell of a grid over the view that a box (in shares of the view) covers: [rows, columns]."""
    def overlap(low: float, high: float, count: int) -> Tensor:
        edges = torch.linspace(0, count, count + 1, dtype=torch.float64)
        return (edges[1:].clamp_max(high * count) - edges[:-1].clamp_min(low * count)).clamp_min(0)

    return overlap(box.y1, box.y2, rows)[:, None] * overlap(box.x1, box.x2, columns)[None, :]


def find(heat: Tensor, box: Box) -> BoxScore | None:
    """Pointing game and energy of a non-negative map [h, w]; None for a map that is zero everywhere.

    The peak points at the middle of its cell. A uniform map's energy is the box's area.
    """
    heat = heat.double()
    if float(heat.sum()) <= 0:
        return None
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    x, y = (column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]
    inside = box.x1 <= x <= box.x2 and box.y1 <= y <= box.y2
    return BoxScore(float(inside), float((heat * cover(box, *heat.shape)).sum() / heat.sum()))


def area(box: Box) -> float:
    """The share of the view that a box covers: what a uniform map scores."""
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def measure_maps(maps: Mapping[str, Tensor], boxes: list[Box | None]) -> list[dict[str, float]]:
    """A row for each picture: `area`, and `<map>_pointing`, `<map>_energy` of maps [N, h, w]; {} without a box."""
    rows: list[dict[str, float]] = []
    for number, box in enumerate(boxes):
        rows.append({} if box is None else measure_one({name: heat[number] for name, heat in maps.items()}, box))
    return rows


def measure_one(maps: Mapping[str, Tensor], box: Box) -> dict[str, float]:
    """The row of one picture with a box, from its maps [h, w]; a map that is zero everywhere has no numbers."""
    row = {"area": area(box)}
    for name, heat in maps.items():
        finding = find(heat, box)
        if finding is not None:
            row |= {f"{name}_pointing": finding.pointing, f"{name}_energy": finding.energy}
    return row


def average_scores(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means over the pictures that have a number."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: sum(row[name] for row in rows if name in row) / sum(name in row for row in rows) for name in names}
