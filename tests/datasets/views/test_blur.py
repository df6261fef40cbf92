"""The integer blur against an exact Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from datasets.views.blur import blur, weigh


def noise(height: int, width: int) -> np.ndarray:
    """The hardest picture to blur: uint8 [height, width, 3] of independent pixels."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("sigma", [0.1, 0.4, 0.7, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("shape", [(40, 60), (1, 1), (3, 50), (50, 2)])
def test_blur_is_gaussian(sigma: float, shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    exact = gaussian_filter(pixels.astype(float), (sigma, sigma, 0), mode="nearest", truncate=6)
    gap = np.abs(np.asarray(blur(Image.fromarray(pixels), sigma)) - exact)
    assert gap.max() < 4 and gap.mean() < 1


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
def test_blur_is_close_to_pillows(sigma: float) -> None:
    # Pillow stacks three box filters, which on pixel noise is no Gaussian; on anything as smooth as a photo it is.
    picture = Image.fromarray(gaussian_filter(noise(64, 64), (1, 1, 0)))
    pillow = np.asarray(picture.filter(ImageFilter.GaussianBlur(sigma)), dtype=float)
    assert np.abs(np.asarray(blur(picture, sigma)) - pillow).mean() < 2


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0, 5.0])
def test_weights_sum_to_one(sigma: float) -> None:
    centre, *outer = weigh(sigma)
    assert centre + 2 * sum(outer) == 256 and sorted([centre, *outer], reverse=True) == [centre, *outer]


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_flat_pictures_stay(value: int) -> None:
    flat = np.full((9, 11, 3), value, dtype=np.uint8)
    assert np.array_equal(np.asarray(blur(Image.fromarray(flat), 1.7)), flat)
