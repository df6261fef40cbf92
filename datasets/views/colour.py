"""Colour jitter on float planes: torchvision's draws and formulas, at less than half of its time on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from torchvision.transforms import v2

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_STRENGTHS = ("brightness_factor", "contrast_factor", "saturation_factor")


class FastColorJitter(v2.ColorJitter):
    """torchvision's ColorJitter for RGB pictures; same random draws, results about 1 grey level apart.

    Pillow rounds down after each of the four changes and takes two slow conversions for the hue; here the planes stay
    float32 in between and are rounded once.
    """

    def transform(self, inpt: Image.Image, params: dict[str, Any]) -> Image.Image:
        """Apply the drawn changes in the drawn order."""
        planes = to_planes(inpt)
        for change in params["fn_idx"].tolist():
            if change == 3:
                planes = planes if params["hue_factor"] is None else shift_hue(planes, params["hue_factor"])
            elif params[_STRENGTHS[change]] is not None:
                planes = blend(planes, _find_base(planes, change), params[_STRENGTHS[change]])
        return to_picture(planes, inpt.size)


def to_planes(picture: Image.Image) -> np.ndarray:
    """RGB picture -> float32 [3, pixels], 0..255."""
    return np.ascontiguousarray(np.asarray(picture).reshape(-1, 3).T).astype(np.float32)


def to_picture(planes: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """float32 [3, pixels] -> RGB picture of (width, height), rounded."""
    rounded = (planes + np.float32(0.5)).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(plane.reshape(size[1], size[0])) for plane in rounded])


def _find_base(planes: np.ndarray, change: int) -> np.ndarray | float | None:
    """What a change moves the picture away from: black (None), its mean grey, or its own greys."""
    if change == 0:
        return None
    return float((LUMA @ planes).mean()) if change == 1 else LUMA @ planes


def blend(planes: np.ndarray, base: np.ndarray | float | None, factor: float) -> np.ndarray:
    """base + factor * (planes - base), clipped to 0..255; factor 1 changes nothing, base None is black."""
    moved = planes * np.float32(factor)
    if base is not None:
        moved += base * np.float32(1 - factor)
    if factor > 1:  # a mixture of two values in the range stays in it
        np.minimum(np.maximum(moved, 0, out=moved), 255, out=moved)
    return moved


def shift_hue(planes: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue by a share of the circle; value and saturation (HSV) stay. [3, pixels], any scale.

    Whole thirds of the circle only rename the channels. For the rest, at most a sextant, no division is needed: a
    channel falls while the channel ahead of it on the circle is above the one behind, and rises otherwise, between
    the pixel's least and greatest value.
    """
    thirds = round(3 * turn)
    planes = np.roll(planes, thirds, axis=0) if thirds % 3 else planes
    rest = 6 * turn - 2 * thirds
    step = 1 if rest >= 0 else -1
    top = np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    low = np.minimum(np.minimum(planes[0], planes[1]), planes[2])
    way = (top - low) * np.float32(abs(rest))
    falling, rising = top - way, low + way
    turned = np.empty_like(planes)
    for channel in range(3):
        ahead, behind = planes[(channel + step) % 3], planes[(channel - step) % 3]
        moved = np.where(ahead >= behind, falling, rising)
        moved -= ahead
        moved += planes[channel]
        np.minimum(np.maximum(moved, low, out=moved), top, out=turned[channel])
    return turned
