"""A sheet of a plug-in module's levels: each picture, large, beside a grid of its maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from datasets.crops import Box
from evaluation.heatmaps.sheet import GAP, outline, overlay
from runtime.drawing import FAINT, INK, PAPER, caption, compose, put_below, put_beside, write

SIDE = 140
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
    tiles = []
    for number, picture in enumerate(pictures):
        small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        lines = []
        for what, maps in rows.items():
            draw = spotlight if what == selected else overlay
            shown = [outline(draw(small, maps[column][number]), boxes[number]) if column in maps
                     else Image.new("RGB", small.size, PAPER) for column in columns]
            lines.append(put_below([write(what, 13, FAINT), put_beside(shown, GAP)]))
        levels = put_below(lines)
        large = picture.resize((levels.height, levels.height), Image.Resampling.LANCZOS)
        block = put_beside([outline(large, boxes[number]), levels], 2 * GAP)
        tiles.append(caption(block, captions[number], 14, INK))
    return compose(tiles, 1, GAP, title, 18, write(f"columns: {', '.join(columns)}", 13, FAINT))
