"""Gaussian blur on 16-bit integers: several times faster on a CPU than torchvision's, and than Pillow's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

_UNIT = 256  # weights are 1/256ths, so that a weighted sum of bytes fits 16 bits


class GaussianBlur(v2.Transform):
    """Gaussian blur of an RGB picture with sigma drawn uniformly, in pixels; `reach` cuts the kernel off there."""

    def __init__(self, sigma: tuple[float, float], reach: int | None = None) -> None:
        super().__init__()
        self.sigma, self.reach = sigma, reach

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw sigma."""
        return {"sigma": torch.empty(1).uniform_(*self.sigma).item()}

    def transform(self, inpt: Image.Image, params: dict[str, Any]) -> Image.Image:
        """Blur one picture."""
        return blur(inpt, params["sigma"], self.reach)


def blur(picture: Image.Image, sigma: float, reach: int | None = None) -> Image.Image:
    """The picture convolved with a Gaussian of `sigma` pixels, its border pixels repeated outwards."""
    weights = weigh(sigma, reach)
    pixels = np.asarray(picture)
    # Rows of interleaved channels: a neighbour to the side is 3 numbers away, one below is a row away.
    across = _convolve(np.pad(pixels, ((0, 0), (len(weights) - 1,) * 2, (0, 0)), "edge"), weights, 1)
    return Image.fromarray(_convolve(np.pad(across, ((len(weights) - 1,) * 2, (0, 0), (0, 0)), "edge"), weights, 0))


def weigh(sigma: float, reach: int | None = None) -> list[int]:
    """Weights of distance 0, 1, ... in 1/256ths, the outer ones twice in a total of 256; ends before the first 0.

    With `reach` they end there at the latest: a kernel of 2 x reach + 1 pixels.
    """
    last = math.ceil(4 * sigma) if reach is None else min(math.ceil(4 * sigma), reach)
    bell = np.exp(-0.5 * (np.arange(last + 1) / sigma) ** 2)
    outer = np.rint(bell[1:] * _UNIT / (bell[0] + 2 * bell[1:].sum())).astype(int)
    outer = outer[outer > 0].tolist()
    return [_UNIT - 2 * sum(outer), *outer]


def _convolve(padded: np.ndarray, weights: list[int], axis: int) -> np.ndarray:
    """Bytes [H, W, 3], padded along `axis`, weighted with their neighbours along it; without the padding."""
    reach = len(weights) - 1
    stride = 3 if axis == 1 else 1
    rows = padded.reshape(len(padded), -1).astype(np.uint16)
    count = rows.shape[axis] - 2 * reach * stride

    def shifted(distance: int) -> np.ndarray:
        """The rows as seen from a neighbour."""
        start = (reach + distance) * stride
        return rows[:, start : start + count] if axis == 1 else rows[start : start + count]

    total = shifted(0) * np.uint16(weights[0])
    total += np.uint16(_UNIT // 2)
    pair = np.empty_like(total)
    for distance, weight in enumerate(weights[1:], start=1):
        np.add(shifted(-distance), shifted(distance), out=pair)
        pair *= np.uint16(weight)
        total += pair
    total >>= 8
    return total.astype(np.uint8).reshape(len(total), -1, 3)
