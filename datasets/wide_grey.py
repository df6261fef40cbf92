"""Grey of 16 or 32 bits, or of floating point, as 8 bits: where its white is, and what counts as odd pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCALES = {1.0: 2.0, 255.0: 300.0, 65535.0: 80000.0}  # where white is in people's files: how far they overshoot
ODD = 0.02  # this share of pixels may lie outside of a scale: NaN, overshoot of a resampling, hot pixels


def to_8_bits(image: Image.Image) -> Image.Image:
    """Grey of any Pillow mode ("I;16", "I", "F") as mode "L"; the transparent value of a PNG becomes white.

    16 bits are 0..65535. Anything else is 0..1, 0..255 or 0..65535, whichever nearly all pixels lie on, else stretched
    from its own 2nd to its 98th percentile, as are negative numbers (but -1..1 stays that). NaN becomes black.
    10 to 14 bits count as 16: the scale may not depend on how brightly one picture of a set was exposed.
    Raises ValueError when no pixel is a number.
    """
    values = np.asarray(image)
    clear = image.info.get("transparency")
    of_16_bits = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    low, high = (0.0, 65535.0) if of_16_bits else find_range(values)
    scaled = (values.astype(np.float32) - low) * (255.0 / (high - low))
    grey = np.clip(np.rint(np.nan_to_num(scaled, nan=0.0)), 0, 255).astype(np.uint8)
    if isinstance(clear, int):
        grey[values == clear] = 255
    return Image.fromarray(grey)


def find_range(values: NDArray[np.generic]) -> tuple[float, float]:
    """Black and white of grey values: a usual scale where nearly all of them lie on one, else their own range."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        raise ValueError("no pixel is a number")
    if _is_rare(known < 0):
        fitting = [white for white, most in SCALES.items() if _is_rare(known > most)]
        dark = fitting[:1] == [1.0] and known.max() > 2 and not np.mod(known, 1).any()
        if dark:  # whole numbers: a dark picture of 8 bits with a few lights
            return 0.0, 255.0
        return (0.0, fitting[0]) if fitting else _stretch(known)
    return (-1.0, 1.0) if _is_rare(np.abs(known) > 2) else _stretch(known)


def _is_rare(odd: NDArray[np.bool_]) -> bool:
    """Whether so few pixels are odd that they do not decide; a single one never does, unless it is the picture."""
    return bool(odd.sum() <= max(ODD * odd.size, odd.size >= 16))


def _stretch(known: NDArray[np.float64]) -> tuple[float, float]:
    """From the 2nd to the 98th percentile; what is all the same becomes a medium grey."""
    low, high = np.percentile(known, (100 * ODD, 100 * (1 - ODD)))
    return (float(low), float(high)) if high > low else (float(low) - 1, float(low) + 1)
