"""One picture to judge a localisation by: photographs with their boxes, and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from datasets.crops import Box
from datasets.files import decode
from datasets.layouts.listing import Sample
from DDT.boxes import BoxRow
from DDT.corloc import measure_overlaps
from DDT.crops import encode_crop
from runtime.drawing import FAINT, INK, PAPER, caption, compose, draw_box, put_beside, write
from runtime.files import write_bytes
from runtime.names.spelling import show_name

COLUMNS, PHOTOS = 8, 40
SIDE, GAP = 232, 12
DIMMED, MAT = 0.6, "#f1f3f5"


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


def outline_box(box: Box, pen: Pen, scale: float, limit: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box's outermost pixels in a photograph: as wide as its pen at least, none beyond `limit`, the last pixel."""
    left, top = (max(round(value * scale), 0) for value in (box.x1, box.y1))
    right = min(max(round(box.x2 * scale) - 1, left + pen.width), limit[0])
    bottom = min(max(round(box.y2 * scale) - 1, top + pen.width), limit[1])
    return left, top, max(right, left), max(bottom, top)


def dim_outside(photo: Image.Image, crop: Box, scale: float) -> Image.Image:
    """The photograph, darker where the crop leaves it out."""
    left, top, right, bottom = (round(value * scale) for value in (crop.x1, crop.y1, crop.x2, crop.y2))
    corners = (left, top, right, bottom)
    dark = photo.point([round(DIMMED * level) for level in range(256)] * 3)
    dark.paste(photo.crop(corners), corners)
    return dark


def draw_photo(sample: Sample, row: BoxRow, truth: Box | None) -> Image.Image:
    """A photograph with all its boxes, on a mat of SIDE x SIDE pixels."""
    image = decode(sample.path)
    scale = SIDE / max(image.size)
    small = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
    small = dim_outside(small, row.crop, scale)
    draw = ImageDraw.Draw(small)
    boxes = [(pen, getattr(row, pen.field)) for pen in PENS] + ([(TRUTH, truth)] if truth else [])
    for pen, box in boxes:
        draw_box(draw, outline_box(box, pen, scale, (small.width - 1, small.height - 1)), pen.colour, pen.width)
    return ImageOps.pad(small, (SIDE, SIDE), color=MAT)


def describe(row: BoxRow, truth: Box | None, grouped: bool = False) -> str:
    """A note about the photograph: its group and the margin, an empty mask, overlap with the truth; or its class."""
    words = [f"group {row.member.group + 1} ({row.member.margin:.2f})"] if grouped else []
    words += ["no mask"] if row.empty else []
    if truth and not (grouped and row.empty):  # the line has no room, and these boxes are a fallback
        words.append("IoU " + " / ".join(f"{overlap:.2f}" for overlap in measure_overlaps(row, truth)))
    parts = row.path.split("/")
    return " · ".join(words) or (parts[-2] if len(parts) > 1 else parts[-1])


def name_photo(row: BoxRow, truth: Box | None, grouped: bool) -> str:
    """What stands below a photograph: the name of its file, and the note."""
    return f"{show_name(row.path.split('/')[-1])}\n{describe(row, truth, grouped)}"


def draw_legend(pens: Sequence[Pen], grouped: bool = False) -> Image.Image:
    """The pens' colours and names in one line, and what the numbers below the photographs are."""
    parts = []
    for pen in pens:
        sample = Image.new("RGB", (27, 20), PAPER)
        draw_box(ImageDraw.Draw(sample), (0, 3, 26, 19), pen.colour, pen.width)
        parts.append(put_beside([sample, write(pen.label, 16, INK)], 10))
    if TRUTH in pens:
        parts.append(write("IoU with the truth: mask / cut / policy", 16, FAINT))
    if grouped:
        parts.append(write("group (margin: 0 between two groups, 1 within one)", 16, FAINT))
    return put_beside(parts, 30)


def draw_box_sheet(
    samples: Sequence[Sample], rows: Sequence[BoxRow], truth: Mapping[str, Box], *, title: str
) -> Image.Image:
    """A grid of evenly chosen photographs with mask box, cut box, policy crop and, where known, ground truth.

    Where images are in several groups, one group follows the other, and each photograph says which it is in.
    """
    by_group = sorted(range(len(rows)), key=lambda index: rows[index].member.group)
    grouped = bool(rows) and rows[by_group[-1]].member.group > 0
    shown = [by_group[place] for place in choose_evenly(len(rows))]
    legend = draw_legend(PENS + ((TRUTH,) if any(rows[i].path in truth for i in shown) else ()), grouped)
    tiles = []
    for index in shown:
        row, box = rows[index], truth.get(rows[index].path)
        tiles.append(caption(draw_photo(samples[index], row, box), name_photo(row, box, grouped), 14))
    return compose(tiles, COLUMNS, GAP, title, 22, legend)


def save_sheet(
    path: Path, samples: Sequence[Sample], rows: Sequence[BoxRow], truth: Mapping[str, Box], *, title: str
) -> None:
    """Write the sheet as PNG."""
    write_bytes(path, encode_crop(draw_box_sheet(samples, rows, truth, title=title), ".png"))
