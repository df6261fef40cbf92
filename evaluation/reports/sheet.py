"""A picture of queries and their nearest neighbours: green frames for the query's class, red for another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageOps

from runtime.typefaces import draw_text, shorten

SIDE, FRAME, GAP, CAPTION = 132, 5, 8, 30
QUERY, HIT, MISS, FOUND = (60, 90, 160), (40, 150, 70), (200, 50, 50), (120, 132, 148)
INK, PAPER = (30, 30, 30), (255, 255, 255)


@dataclass(frozen=True)
class Cell:
    """One picture of the sheet: which image, the text under it, and whether it is right (None: it is the query).

    The text has at most two lines. `judged` False frames a finding of which nobody says whether it is right.
    """

    index: int
    caption: str
    right: bool | None
    judged: bool = True


def draw_sheet(rows: Sequence[Sequence[Cell]], open_image: Callable[[int], Image.Image], title: str) -> Image.Image:
    """Rows of cells as one RGB picture; `open_image` gives the image of an index."""
    width = GAP + max(len(row) for row in rows) * (SIDE + GAP)
    sheet = Image.new("RGB", (width, GAP + CAPTION + len(rows) * (SIDE + CAPTION + GAP)), PAPER)
    draw_text(ImageDraw.Draw(sheet), (GAP, GAP), shorten(title, 14, width - 2 * GAP), 14, INK)
    for number, row in enumerate(rows):
        top = GAP + CAPTION + number * (SIDE + CAPTION + GAP)
        for place, cell in enumerate(row):
            _draw_cell(sheet, cell, open_image(cell.index), GAP + place * (SIDE + GAP), top)
    return sheet


def _draw_cell(sheet: Image.Image, cell: Cell, image: Image.Image, left: int, top: int) -> None:
    colour = FOUND if not cell.judged else QUERY if cell.right is None else HIT if cell.right else MISS
    framed = ImageOps.expand(ImageOps.fit(image, (SIDE - 2 * FRAME,) * 2), FRAME, colour)
    sheet.paste(framed, (left, top))
    caption = "\n".join(shorten(line, 11, SIDE) for line in cell.caption.split("\n"))
    draw_text(ImageDraw.Draw(sheet), (left, top + SIDE + 2), caption, 11, colour, spacing=1)
