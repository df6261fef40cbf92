"""Colour jitter against torchvision's, together and change by change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from datasets.views.colour import FastColorJitter, shift_hue


def photo(width: int = 96, height: int = 72) -> Image.Image:
    """A colourful, asymmetric, smooth picture."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 2, 255 - y * 3, 127 + 120 * np.sin(x / 9) * np.cos(y / 7)]
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))


def test_jitter_agrees_with_torchvision() -> None:
    fast, stock = FastColorJitter(0.4, 0.4, 0.4, 0.1), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    picture = photo()
    gaps = []
    for seed in range(100):
        torch.manual_seed(seed)
        mine = np.asarray(fast(picture), dtype=float)
        torch.manual_seed(seed)
        gaps.append(np.abs(mine - np.asarray(stock(picture), dtype=float)).mean())
    assert np.mean(gaps) < 2 and max(gaps) < 3.5


@pytest.mark.parametrize("only", ["brightness", "contrast", "saturation", "hue"])
def test_each_jitter_alone_agrees_with_torchvision(only: str) -> None:
    arguments = {only: (0.3, 0.3) if only == "hue" else (1.3, 1.3)}
    mine = np.asarray(FastColorJitter(**arguments)(photo()), dtype=float)
    stock = np.asarray(v2.ColorJitter(**arguments)(photo()), dtype=float)
    assert np.abs(mine - stock).mean() < 2.5
    assert np.abs(mine - np.asarray(photo(), dtype=float)).mean() > 5


@pytest.mark.parametrize("turn", [-0.5, -0.34, -0.2, -0.1, -0.01, 0.0, 0.03, 0.1, 1 / 6, 0.25, 0.4, 0.5])
def test_hue_equals_the_conversion_to_hsv_and_back(turn: float) -> None:
    colours = torch.rand(3, 2000, 1, generator=torch.Generator().manual_seed(0))
    colours[:, :50] = colours[:1, :50]  # greys
    colours[1, 50:100] = colours[0, 50:100]  # ties of two channels
    colours[2, 100:150] = colours[1, 100:150]
    turned = shift_hue(colours.reshape(3, -1).numpy(), turn)
    np.testing.assert_allclose(turned, F.adjust_hue(colours, turn).reshape(3, -1).numpy(), atol=1e-5)


def test_what_was_not_asked_for_is_left_alone() -> None:
    assert np.array_equal(np.asarray(FastColorJitter()(photo())), np.asarray(photo()))


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (1, 5)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    assert FastColorJitter(0.4, 0.4, 0.4, 0.1)(photo(*size)).size == size
