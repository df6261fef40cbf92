"""Colour jitter on float planes: torchvision's draws and formulas, at less than half of its time on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from torchvision.transforms import v2

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_STRENGTHS = ("brightness_factor", "contrast_factor", "saturation_factor")
# Where each channel's ramp starts on the hue circle, in sextants.
_RAMPS = np.array([[5.0], [3.0], [1.0]], dtype=np.float32)


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


def _find_base(planes: np.ndarray, change: int) -> np.ndarray | float:
    """What a change moves the picture away from: black, its mean grey, or its own greys."""
    if change == 0:
        return 0.0
    return float((LUMA @ planes).mean()) if change == 1 else LUMA @ planes


def blend(planes: np.ndarray, base: np.ndarray | float, factor: float) -> np.ndarray:
    """base + factor * (planes - base), clipped to 0..255; factor 1 changes nothing."""
    moved = planes * np.float32(factor)
    moved += base * np.float32(1 - factor)
    return np.clip(moved, 0, 255, out=moved)


def shift_hue(planes: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue by a share of the circle in [-0.5, 0.5]; value and saturation (HSV) stay. [3, pixels], any scale."""
    red, green, blue = planes
    top = np.maximum(np.maximum(red, green), blue)
    chroma = top - np.minimum(np.minimum(red, green), blue)
    slope = 1 / np.maximum(chroma, np.float32(1e-6))
    sextant = np.where(
        top == red, (green - blue) * slope, np.where(top == green, (blue - red) * slope + 2, (red - green) * slope + 4)
    )
    place = (sextant + np.float32(6 * turn)) + _RAMPS
    place -= 6 * np.floor(place / 6)
    # A channel is at the top, at the bottom, or on a ramp between: 0 within its two sextants, 1 opposite of them.
    place -= 2
    np.abs(place, out=place)
    np.clip(np.subtract(2, place, out=place), 0, 1, out=place)
    place *= chroma
    return np.subtract(top, place, out=place)
