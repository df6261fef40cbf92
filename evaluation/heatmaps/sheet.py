"""A sheet of pictures with heat maps laid over them, and the object's box where it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from datasets.crops import Box
from runtime.typefaces import draw_text, shorten

SIDE, GAP, CAPTION, HEADER, BLOCKS = 150, 8, 20, 58, 2
INK, FAINT, PAPER, FRAME = "#1b1f24", "#6a737d", "#ffffff", "#39d353"


def overlay(picture: Image.Image, heat: Tensor) -> Image.Image:
    """The picture in grey under the map [h, w], smoothed, from blue (its minimum) to red (its maximum)."""
    from matplotlib import colormaps

    values = heat.float().numpy()
    span = values.max() - values.min()
    scaled = (values - values.min()) / span if span > 0 else np.zeros_like(values)
    smooth = Image.fromarray((255 * scaled).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    colours = Image.fromarray((255 * colormaps["turbo"](np.asarray(smooth))[..., :3]).astype(np.uint8))
    return Image.blend(picture.convert("L").convert("RGB"), colours, 0.5)


def outline(picture: Image.Image, box: Box | None) -> Image.Image:
    """The picture with its box (in shares of the picture) drawn in."""
    shown = picture.copy()
    if box is not None:
        corners = [round(value * (shown.width - 1)) for value in (box.x1, box.y1, box.x2, box.y2)]
        draw = ImageDraw.Draw(shown)
        draw.rectangle(corners, outline="#000000", width=3)
        draw.rectangle(corners, outline=FRAME, width=1)
    return shown


def draw_heat_sheet(
    pictures: Sequence[Image.Image], maps: Mapping[str, Tensor], boxes: Sequence[Box | None],
    captions: Sequence[str], *, title: str, words: Mapping[str, str],
) -> Image.Image:
    """Each picture followed by every map [N, h, w] over it, two pictures a line; `words` name the maps.

    Captions may have several lines.
    """
    wide = (1 + len(maps)) * (SIDE + GAP) + 2 * GAP
    lines = -(-len(pictures) // BLOCKS)
    high = SIDE + GAP + CAPTION + (CAPTION - 5) * max((caption.count("\n") for caption in captions), default=0)
    sheet = Image.new("RGB", (BLOCKS * wide, HEADER + lines * high), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw_text(draw, (GAP, 8), shorten(title, 18, sheet.width - 2 * GAP), 18, INK)
    legend = "  |  ".join(["picture", *(words[name] for name in maps)])
    draw_text(draw, (GAP, 34), legend, 13, FAINT)
    for number, picture in enumerate(pictures):
        left, top = number % BLOCKS * wide + GAP, HEADER + number // BLOCKS * high
        small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        cells = [small, *(overlay(small, heat[number]) for heat in maps.values())]
        for place, cell in enumerate(cells):
            sheet.paste(outline(cell, boxes[number]), (left + place * (SIDE + GAP), top))
        text = "\n".join(shorten(line, 12, wide - 2 * GAP) for line in captions[number].split("\n"))
        draw_text(draw, (left, top + SIDE + 2), text, 12, FAINT, spacing=2)
    return sheet
