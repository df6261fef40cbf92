"""A sheet of a plug-in module's levels: each picture, large, beside a grid of its maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from datasets.crops import Box
from evaluation.heatmaps.sheet import FAINT, GAP, HEADER, INK, PAPER, outline, overlay
from runtime.typefaces import draw_text, shorten

SIDE, LABEL = 140, 18
DIM = 0.18  # how bright a position stays that was not selected


def spotlight(picture: Image.Image, share: Tensor) -> Image.Image:
    """The picture, dark where `share` [h, w] is 0 and as it is where it is 1."""
    light = Image.fromarray((255 * share.clamp(0, 1)).byte().numpy()).resize(picture.size, Image.Resampling.NEAREST)
    shade = DIM + (1 - DIM) * np.asarray(light, dtype=np.float32)[..., None] / 255
    return Image.fromarray((np.asarray(picture.convert("RGB")) * shade).astype(np.uint8))


def draw_level_sheet(
    pictures: Sequence[Image.Image], rows: Mapping[str, Mapping[str, Tensor]], boxes: Sequence[Box | None],
    captions: Sequence[str], *, title: str, selected: str = "",
) -> Image.Image:
    """One RGB picture. `rows` map what a row shows to its maps [N, h, w] by column; that named `selected` is lit up."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = len(rows) * (SIDE + LABEL)
    block = lines + LABEL + 2 * GAP
    sheet = Image.new("RGB", (lines + 3 * GAP + len(columns) * (SIDE + GAP), HEADER + len(pictures) * block), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw_text(draw, (GAP, 8), shorten(title, 18, sheet.width - 2 * GAP), 18, INK)
    draw_text(draw, (GAP, 34), f"columns: {', '.join(columns)}", 13, FAINT)
    for number, picture in enumerate(pictures):
        top = HEADER + number * block
        large = picture.resize((lines, lines), Image.Resampling.LANCZOS)
        sheet.paste(outline(large, boxes[number]), (GAP, top))
        draw_text(draw, (GAP, top + lines + 2), shorten(captions[number], 14, sheet.width - 2 * GAP), 14, INK)
        small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        for place, (what, maps) in enumerate(rows.items()):
            high = top + place * (SIDE + LABEL)
            draw_text(draw, (lines + 3 * GAP, high), what, 13, FAINT)
            for column, heat in maps.items():
                shown = (spotlight if what == selected else overlay)(small, heat[number])
                left = lines + 3 * GAP + columns.index(column) * (SIDE + GAP)
                sheet.paste(outline(shown, boxes[number]), (left, high + LABEL))
    return sheet
