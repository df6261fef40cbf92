"""A sheet of pictures with heat maps laid over them, and the object's box where it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from datasets.crops import Box
from runtime.drawing import FAINT, caption, compose, draw_box, put_beside, write

SIDE, GAP, BLOCKS = 150, 8, 2
FRAME = "#39d353"


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
        draw_box(ImageDraw.Draw(shown), corners, FRAME, width=1)
    return shown


def draw_heat_sheet(
    pictures: Sequence[Image.Image], maps: Mapping[str, Tensor], boxes: Sequence[Box | None],
    captions: Sequence[str], *, title: str, words: Mapping[str, str],
) -> Image.Image:
    """Each picture followed by every map [N, h, w] over it, two pictures a line; `words` name the maps.

    Captions may have several lines.
    """
    tiles = []
    for number, picture in enumerate(pictures):
        small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        cells = [small, *(overlay(small, heat[number]) for heat in maps.values())]
        strip = put_beside([outline(cell, boxes[number]) for cell in cells], GAP)
        tiles.append(caption(strip, captions[number], 12))
    legend = write("  |  ".join(["picture", *(words[name] for name in maps)]), 13, FAINT)
    return compose(tiles, BLOCKS, 2 * GAP, title, 18, legend)
