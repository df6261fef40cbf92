"""From a picture to what a file takes: in the graph what --pixels says, the rest in words and in lines of Pillow."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from datasets.views.recipes import RECIPES, View
from datasets.views.strips import Resize
from engine.workflows.export.subject import Exportable, find_standard
from models.encoder import Encoder

SHAPES = {"standardised": "float32 [N, 3, {0}, {0}], (x / 255 - mean) / std", "chw": "uint8 [N, 3, {0}, {0}]",
          "hwc": "uint8 [N, {0}, {0}, 3]"}
LENGTH = 1e-12  # below which a row is left as it is, as `normalise_embeddings` does


class PixelNetwork(nn.Module):
    """The network that becomes a graph: pixels -> the chosen outputs, a tuple where there are several.

    It is a copy; a transformer's position embeddings are resized once, for the one size that a graph has.
    """

    def __init__(self, exportable: Exportable, pixels: str) -> None:
        super().__init__()
        self.network = copy.deepcopy(exportable.network)
        self.chosen, self.unit, self.pixels = exportable.chosen, exportable.unit, pixels
        if pixels == "standardised":
            find_standard(self.network, "mean").zero_()
            find_standard(self.network, "std").fill_(1)
        if isinstance(self.network, Encoder):
            fix_size(self.network.backbone.net, exportable.view.size)
            self.network.joint = self.network.joint if "joint" in self.chosen else None
            self.network.head = self.network.head if {"head", "joint"} & {*self.chosen} else None
            self.network.attention = self.network.attention if "masked" in self.chosen else None

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Images as --pixels says; the outputs in the order of their names."""
        found = self.network.outputs(images.permute(0, 3, 1, 2) if self.pixels == "hwc" else images)
        rows = [F.normalize(found[name], dim=1, eps=LENGTH) if self.unit else found[name] for name in self.chosen]
        return rows[0] if len(rows) == 1 else tuple(rows)


def fix_size(net: nn.Module, size: int) -> None:
    """Position embeddings for squares of that side, where timm's network would resize them at every call."""
    if getattr(net, "dynamic_img_size", False):
        cast(Callable[..., None], net.set_input_size)(img_size=(size, size))


def convert_pixels(images: np.ndarray, exportable: Exportable, pixels: str) -> np.ndarray:
    """uint8 [N, 3, S, S] as the file takes them, computed as somebody without torch would."""
    if pixels == "standardised":
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (exportable.mean, exportable.std))
        return (images.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if pixels == "hwc" else images


@dataclass(frozen=True)
class Square:
    """How a view makes a square of a picture: `sides` is one number for the short side, or two, in pixels.

    `crop` is the side of the central square that is cut out then, None where nothing is.
    """

    sides: tuple[int, ...]
    interpolation: str
    crop: int | None

    def describe(self, size: int) -> str:
        """The same in words."""
        to = f"short side to {self.sides[0]} px" if len(self.sides) == 1 else f"squashed to {self.sides[0]} px a side"
        return f"{to} ({self.interpolation}){f', central square of {size} px' if self.crop else ''}"


def read_square(view: View) -> Square:
    """The steps of a test view: a resize, and perhaps a central square."""
    resize, *rest = RECIPES[view.recipe](view.size)
    assert isinstance(resize, Resize) and all(isinstance(step, v2.CenterCrop) for step in rest), view
    return Square(tuple(resize.size), resize.interpolation.value, view.size if rest else None)


def write_preparation(exportable: Exportable, pixels: str) -> str:
    """Lines of Python that need Pillow and NumPy: a picture's file -> what the exported file takes of it."""
    square = read_square(exportable.view)
    short, side = len(square.sides) == 1, square.sides[0]
    sides = f"[int({side} * length / min(picture.size)) for length in picture.size]" if short else f"[{side}, {side}]"
    lines = ["import numpy", "from PIL import Image, ImageOps", "", "def prepare(path):",
             '    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")']
    if exportable.crop_bottom:
        lines += [f"    picture = picture.crop((0, 0, picture.width, picture.height - {exportable.crop_bottom}))"]
    lines += [f"    picture = picture.resize({sides}, Image.Resampling.{square.interpolation.upper()})"]
    if square.crop:
        lines += [f"    left, top = (round((length - {square.crop}) / 2) for length in picture.size)",
                  f"    picture = picture.crop((left, top, left + {square.crop}, top + {square.crop}))"]
    if pixels == "standardised":
        mean, std = (", ".join(f"{value:.7g}" for value in values) for values in (exportable.mean, exportable.std))
        lines += [f'    mean, std = numpy.array([[{mean}], [{std}]], "float32")',
                  '    return ((numpy.asarray(picture, "float32") / 255 - mean) / std).transpose(2, 0, 1)']
    else:
        lines += [f"    return numpy.asarray(picture){'.transpose(2, 0, 1)' if pixels == 'chw' else ''}"]
    return "\n".join(lines)


def make_example(exportable: Exportable, pixels: str) -> Tensor:
    """Two images of noise as the file takes them, for a graph to be taken with."""
    side = exportable.view.size
    images = np.random.default_rng(0).integers(0, 256, (2, 3, side, side), dtype=np.uint8)
    return torch.from_numpy(convert_pixels(images, exportable, pixels))
