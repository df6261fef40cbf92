"""From an indicator map to a box: threshold, largest component, bounding box, cut rate.

Maps and masks are NumPy arrays [h, w]; boxes are in pixels of the original image, half open ([x1, x2) x [y1, y2)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from datasets.crops import Box

SEARCHED_RATES = (1.25, 1.15, 1.05, 0.95, 0.85)
FALLBACK_RATE = 1.05
SMALLEST_AREA, LARGEST_AREA = 0.01, 0.80
BORDER_PENALTY = 0.02
# Of 172 masks of fewer than 3 of 196 positions, in folders of birds, pets, flowers and cars, none met its object; the
# whole image met 39 of them.
SMALLEST_MASK, LARGEST_MASK = 0.015, 0.95  # shares of the positions
BORDER_MARGIN = 1.0


@dataclass(frozen=True)
class Frame:
    """The size of an original image in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Region:
    """What the mask says about an object: its bounding box and its centre of mass, in pixels of the original."""

    box: Box
    x: float
    y: float


@dataclass(frozen=True)
class Cut:
    """The box of one cut rate."""

    box: Box
    rate: float


def threshold(indicator: np.ndarray, over_num: float = 0.0) -> np.ndarray:
    """Mask [h, w] of the positions above `over_num` after rescaling by the range of the non-negative values to [0, 1].

    The mask is empty when nothing is positive or when all non-negative values are equal.
    """
    positive = indicator[indicator >= 0]
    if positive.size == 0 or positive.max() == positive.min():
        return np.zeros(indicator.shape, dtype=bool)
    low, high = positive.min(), positive.max()
    return (indicator - low) / (high - low) > over_num


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The 4-connected component with the most positions, the first in reading order among equals; empty stays empty."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.zeros(mask.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())[1:]
    return labels == 1 + sizes.argmax()


def outlines_object(mask: np.ndarray) -> bool:
    """Whether a mask [h, w] tells an object from the rest: no speck, not nearly everything, not on all borders."""
    borders = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return SMALLEST_MASK <= mask.mean() <= LARGEST_MASK and not all(border.any() for border in borders)


def measure_mask(mask: np.ndarray, frame: Frame, size: int) -> Region | None:
    """Bounding box and centre of mass of a mask [h, w], enlarged to size x size pixels that cover the whole image.

    Nearest neighbours make the enlarged mask's rows and columns copies: to count their pixels is enough. None when the
    mask is empty.
    """
    rows, columns = (np.arange(size) * side // size for side in mask.shape)  # the mask's position under each pixel
    tall, wide = (np.bincount(axis, minlength=side) for axis, side in zip((rows, columns), mask.shape))
    down, across = (mask @ wide)[rows], (tall @ mask)[columns]  # object pixels of every row and column of pixels
    if not down.any():
        return None
    x, y = frame.width / size, frame.height / size
    (left, right), (top, bottom) = (np.flatnonzero(counts)[[0, -1]] for counts in (across, down))
    box = Box(left * x, top * y, (right + 1) * x, (bottom + 1) * y)
    return Region(box, (find_centre(across) + 0.5) * x, (find_centre(down) + 0.5) * y)


def find_centre(counts: np.ndarray) -> float:
    """The mean position of weights [n]."""
    return np.arange(len(counts)) @ counts / counts.sum()


def find_region(
    indicator: np.ndarray, frame: Frame, *, size: int, over_num: float = 0.0, any_mask: bool = False
) -> Region | None:
    """The object of one indicator map [h, w], which came from an image squashed to size x size; None without a mask.

    A mask that outlines no object is none, but for `any_mask`.
    """
    mask = largest_component(threshold(indicator, over_num))
    return measure_mask(mask, frame, size) if any_mask or outlines_object(mask) else None


def fit_box(x: float, y: float, width: float, height: float, frame: Frame) -> Box:
    """A box of that size around (x, y): clipped to the image's size, then shifted inside."""
    width, height = min(width, frame.width), min(height, frame.height)
    left = min(max(x - width / 2, 0.0), frame.width - width)
    top = min(max(y - height / 2, 0.0), frame.height - height)
    return Box(left, top, left + width, top + height)


def cut_at(region: Region, rate: float, frame: Frame) -> Cut:
    """The mask's box scaled by `rate`, around the mask's centre of mass, inside the image."""
    box = region.box
    return Cut(fit_box(region.x, region.y, rate * (box.x2 - box.x1), rate * (box.y2 - box.y1), frame), rate)


def area_ratio(box: Box, frame: Frame) -> float:
    """Share of the image that a box covers, in [0, 1]."""
    return (box.x2 - box.x1) * (box.y2 - box.y1) / (frame.width * frame.height)


def count_borders(box: Box, frame: Frame) -> int:
    """How many of the image's four borders the box comes within one pixel of."""
    gaps = (box.x1, box.y1, frame.width - box.x2, frame.height - box.y2)
    return sum(gap <= BORDER_MARGIN for gap in gaps)


def rate_box(box: Box, frame: Frame) -> float:
    """-area ratio - 0.02 x borders touched; minus infinity outside the area ratios [0.01, 0.80]."""
    ratio = area_ratio(box, frame)
    if not SMALLEST_AREA <= ratio <= LARGEST_AREA:
        return -np.inf
    return -ratio - BORDER_PENALTY * count_borders(box, frame)


def search_cut(region: Region, frame: Frame, rates: Sequence[float] = SEARCHED_RATES) -> Cut:
    """The cut with the best score, the first among equals; rate 1.05 when none has a valid area.

    The score falls with the area, so this is the smallest valid rate nearly always: a fixed rate says the same plainly.
    """
    cuts = [cut_at(region, rate, frame) for rate in rates]
    best = max(cuts, key=lambda cut: rate_box(cut.box, frame))
    return best if np.isfinite(rate_box(best.box, frame)) else cut_at(region, FALLBACK_RATE, frame)


def snap(box: Box, frame: Frame) -> Box:
    """The box in whole pixels, at least one each way, inside the image; a square stays square."""
    width, height = max(1, round(box.x2 - box.x1)), max(1, round(box.y2 - box.y1))
    left = min(max(round(box.x1), 0), frame.width - width)
    top = min(max(round(box.y1), 0), frame.height - height)
    return Box(left, top, left + width, top + height)


def whole_frame(frame: Frame) -> Box:
    """All of an image."""
    return Box(0, 0, frame.width, frame.height)
