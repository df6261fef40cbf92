"""One picture to judge a localisation by: photographs with their boxes, and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from datasets.crops import Box
from datasets.files import decode
from datasets.layouts.listing import Sample
from DDT.boxes import Row
from DDT.corloc import measure_overlaps
from DDT.crops import encode
from runtime.files import write_bytes
from runtime.typefaces import draw_text, measure, shorten

COLUMNS, PHOTOS = 8, 40
SIDE, GAP, CAPTION, HEADER = 232, 12, 22, 76
DIMMED = 0.6
INK, FAINT, PAPER, MAT = "#1b1f24", "#6a737d", "#ffffff", "#f1f3f5"


@dataclass(frozen=True)
class Pen:
    """How one kind of box is drawn; `field` is its name in a row, "" for ground truth."""

    label: str
    field: str
    colour: str
    width: int


PENS = (
    Pen("policy crop", "crop", "#ffb000", 3),
    Pen("mask box", "tight", "#00c2ff", 3),
    Pen("cut box", "cut", "#ff2e88", 3),
)
TRUTH = Pen("ground truth", "", "#39d353", 2)


def choose_evenly(count: int, wanted: int = PHOTOS) -> list[int]:
    """At most `wanted` indices spread evenly over range(count)."""
    shown = min(count, wanted)
    return [(2 * number + 1) * count // (2 * shown) for number in range(shown)]


def draw_box(draw: ImageDraw.ImageDraw, box: Box, pen: Pen, scale: float, limit: tuple[int, int]) -> None:
    """One box with a dark rim, so that it shows on any photograph; `limit` is the photograph's last pixel."""
    left, top = (max(round(value * scale), 0) for value in (box.x1, box.y1))
    right = min(max(round(box.x2 * scale) - 1, left + pen.width), limit[0])
    bottom = min(max(round(box.y2 * scale) - 1, top + pen.width), limit[1])
    right, bottom = max(right, left), max(bottom, top)
    draw.rectangle((left, top, right, bottom), outline="#000000", width=pen.width + 2)
    if right - left > 2 and bottom - top > 2:  # else nothing fits inside of the rim
        draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=pen.colour, width=pen.width)


def dim_outside(photo: Image.Image, crop: Box, scale: float) -> Image.Image:
    """The photograph, darker where the crop leaves it out."""
    corners = tuple(round(value * scale) for value in (crop.x1, crop.y1, crop.x2, crop.y2))
    dark = photo.point([round(DIMMED * level) for level in range(256)] * 3)
    dark.paste(photo.crop(corners), corners)
    return dark


def draw_photo(sample: Sample, row: Row, truth: Box | None) -> Image.Image:
    """A photograph within SIDE x SIDE pixels with all its boxes."""
    image = decode(sample.path)
    scale = SIDE / max(image.size)
    small = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
    small = dim_outside(small, row.crop, scale)
    draw = ImageDraw.Draw(small)
    boxes = [(pen, getattr(row, pen.field)) for pen in PENS] + ([(TRUTH, truth)] if truth else [])
    for pen, box in boxes:
        draw_box(draw, box, pen, scale, (small.width - 1, small.height - 1))
    return small


def write_caption(row: Row, truth: Box | None) -> str:
    """A word about the photograph: overlap with the truth, an empty mask, or its class."""
    words = ["no mask"] if row.empty else []
    if truth:
        words.append("IoU " + " / ".join(f"{overlap:.2f}" for overlap in measure_overlaps(row, truth)))
    parts = row.path.split("/")
    return " · ".join(words) or (parts[-2] if len(parts) > 1 else parts[-1])


def draw_legend(draw: ImageDraw.ImageDraw, title: str, pens: Sequence[Pen]) -> None:
    """Title and colours in the header."""
    draw_text(draw, (GAP, 10), title, 22, INK)
    x = GAP
    for pen in pens:
        draw.rectangle((x, 48, x + 26, 64), outline="#000000", width=pen.width + 2)
        draw.rectangle((x + 1, 49, x + 25, 63), outline=pen.colour, width=pen.width)
        draw_text(draw, (x + 36, 47), pen.label, 16, INK)
        x += 36 + round(measure(pen.label, 16)) + 30
    if TRUTH in pens:
        draw_text(draw, (x, 47), "IoU with the truth: mask / cut / policy", 16, FAINT)


def draw_sheet(samples: Sequence[Sample], rows: Sequence[Row], truth: Mapping[str, Box], *, title: str) -> Image.Image:
    """A grid of evenly chosen photographs with mask box, cut box, policy crop and, where known, ground truth."""
    shown = choose_evenly(len(rows))
    columns = min(COLUMNS, max(4, len(shown)))
    lines = -(-len(shown) // columns)
    size = (GAP + columns * (SIDE + GAP), HEADER + lines * (SIDE + CAPTION + GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw_legend(draw, title, PENS + ((TRUTH,) if any(rows[i].path in truth for i in shown) else ()))
    for place, index in enumerate(shown):
        row = rows[index]
        x, y = GAP + place % columns * (SIDE + GAP), HEADER + place // columns * (SIDE + CAPTION + GAP)
        photo = draw_photo(samples[index], row, truth.get(row.path))
        draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), fill=MAT)
        sheet.paste(photo, (x + (SIDE - photo.width) // 2, y + (SIDE - photo.height) // 2))
        caption = shorten(write_caption(row, truth.get(row.path)), 14, SIDE, "…")
        draw_text(draw, (x, y + SIDE + 3), caption, 14, FAINT)
    return sheet


def save_sheet(
    path: Path, samples: Sequence[Sample], rows: Sequence[Row], truth: Mapping[str, Box], *, title: str
) -> None:
    """Write the sheet as PNG."""
    write_bytes(path, encode(draw_sheet(samples, rows, truth, title=title), ".png"))
