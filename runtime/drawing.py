"""Pictures for people: sheets of captioned pictures below a heading, and boxes that show on any photograph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from PIL import Image, ImageDraw, ImageOps

from runtime.typefaces import draw_text, line_height, measure_text, shorten_to_width

INK, FAINT, PAPER, RIM = "#1b1f24", "#6a737d", "#ffffff", "#000000"
SPACING = 2  # pixels between the lines of a text
TITLE = 800  # pixels that a title may be wide, even above a single picture
Colour = str | tuple[int, int, int]


def write(text: str, letters: int, colour: Colour, width: float = math.inf) -> Image.Image:
    """A picture of lines of text in letters of so many pixels, each line cut to a width in pixels."""
    lines = [shorten_to_width(line, letters, width, "…") for line in text.split("\n")]
    wide = math.ceil(max(measure_text(line, letters) for line in lines))
    picture = Image.new("RGB", (wide, len(lines) * (line_height(letters) + SPACING) + letters // 4), PAPER)
    draw_text(ImageDraw.Draw(picture), (0, SPACING), "\n".join(lines), letters, colour, spacing=SPACING)
    return picture


def put_beside(pictures: Sequence[Image.Image], gap: int) -> Image.Image:
    """The pictures from left to right, `gap` pixels apart, their tops in line."""
    places = list(accumulate((one.width + gap for one in pictures), initial=0))
    strip = Image.new("RGB", (places[-1] - gap, max(one.height for one in pictures)), PAPER)
    for one, left in zip(pictures, places):
        strip.paste(one, (left, 0))
    return strip


def put_below(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """The pictures from top to bottom, `gap` pixels apart, their left edges in line."""
    places = list(accumulate((one.height + gap for one in pictures), initial=0))
    column = Image.new("RGB", (max(one.width for one in pictures), places[-1] - gap), PAPER)
    for one, top in zip(pictures, places):
        column.paste(one, (0, top))
    return column


def caption(picture: Image.Image, text: str, letters: int, colour: Colour = FAINT) -> Image.Image:
    """The picture, and below it lines of text that are cut to its width."""
    return put_below([picture, write(text, letters, colour, picture.width)])


def compose(
    pictures: Sequence[Image.Image], columns: int, gap: int, title: str, letters: int, legend: Image.Image | None = None
) -> Image.Image:
    """A sheet: the pictures in rows of `columns`, `gap` pixels around each, below a title and a legend."""
    rows = [put_beside(pictures[start : start + columns], gap) for start in range(0, len(pictures), columns)]
    body = put_below(rows, gap)
    heading = [write(title, letters, INK, max(TITLE, body.width)), *([] if legend is None else [legend])]
    return ImageOps.expand(put_below([put_below(heading, 2 * SPACING), body], gap), gap, PAPER)


def draw_box(draw: ImageDraw.ImageDraw, corners: Sequence[int], colour: Colour, width: int) -> None:
    """A box of lines `width` pixels wide between two dark ones, so that it shows on a photograph of its own colour.

    `corners` (left, top, right, bottom) are its outermost pixels. `torchvision.utils.draw_bounding_boxes` has no such
    rim, and draws on tensors.
    """
    left, top, right, bottom = corners
    draw.rectangle((left, top, right, bottom), outline=RIM, width=width + 2)
    if right - left >= 2 and bottom - top >= 2:  # else nothing fits inside of the rim
        draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=colour, width=width)
