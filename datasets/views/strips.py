"""Resizing that a long thin picture does not make outgrow the memory.

A strip of 1 x 60000 pixels whose short side becomes 224 is 13 million pixels long; only a square of it is ever seen.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torchvision.transforms import v2

LONGEST = 16  # times the short side: ordinary pictures, panoramas among them, pass untouched


class Resize(v2.Resize):
    """torchvision's Resize of a PIL picture, whose memory is bounded by what comes out, whatever the aspect.

    Where only the short side is given, a square is cut out next: of a strip no more than `LONGEST` times its width
    is resized, its middle, or any part with `anywhere`. Nothing is drawn for other pictures; they come out the same.
    """

    def __init__(
        self, size: int | tuple[int, int], interpolation: v2.InterpolationMode, *, anywhere: bool = False
    ) -> None:
        super().__init__(size, interpolation=interpolation)
        self.anywhere = anywhere

    def transform(self, inpt: Image.Image, params: dict[str, Any]) -> Image.Image:
        """Resize one picture."""
        if max(inpt.size) > LONGEST * min(inpt.size):
            inpt = self._trim(inpt) if len(self.size) == 1 else self._shorten(inpt)
        return super().transform(inpt, params)

    def _trim(self, strip: Image.Image) -> Image.Image:
        """A part of the strip along its long side."""
        across, along = min(strip.size), max(strip.size)
        place = torch.rand(()).item() if self.anywhere else 0.5
        start = round(place * (along - LONGEST * across))
        box = (start, 0, start + LONGEST * across, across)
        return strip.crop(box if strip.width == along else (box[1], box[0], box[3], box[2]))

    def _shorten(self, strip: Image.Image) -> Image.Image:
        """A tall strip at its final height: Pillow resizes across first, and would make it wide before it is short."""
        if strip.height <= max(strip.width, self.size[0]):
            return strip
        return strip.resize((strip.width, self.size[0]), Image.Resampling[self.interpolation.name])
