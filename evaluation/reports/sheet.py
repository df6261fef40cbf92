"""A picture of queries and their nearest neighbours: green frames for the query's class, red for another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from runtime.drawing import caption, compose

SIDE, FRAME, GAP = 132, 5, 8
QUERY, HIT, MISS, FOUND = (60, 90, 160), (40, 150, 70), (200, 50, 50), (120, 132, 148)


@dataclass(frozen=True)
class Cell:
    """One picture of the sheet: which image, the text under it, and whether it is right (None: it is the query).

    The text may have several lines. `judged` False frames a result that cannot be called right or wrong.
    """

    index: int
    caption: str
    right: bool | None
    judged: bool = True


def draw_sheet(
    cells: Sequence[Cell], columns: int, open_image: Callable[[int], Image.Image], title: str
) -> Image.Image:
    """Cells in rows of `columns` as one RGB picture; `open_image` gives the image of an index."""
    return compose([_frame(cell, open_image(cell.index)) for cell in cells], columns, GAP, title, 14)


def _frame(cell: Cell, image: Image.Image) -> Image.Image:
    colour = FOUND if not cell.judged else QUERY if cell.right is None else HIT if cell.right else MISS
    framed = ImageOps.expand(ImageOps.fit(image, (SIDE - 2 * FRAME,) * 2), FRAME, colour)
    return caption(framed, cell.caption, 11, colour)
