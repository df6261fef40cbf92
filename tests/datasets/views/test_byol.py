"""BYOL's two views and MoCo v1's: what differs between them, and how often each change happens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from datasets.views.blur import GaussianBlur
from datasets.views.colour import FastColorJitter
from datasets.views.recipes import byol1_steps, byol2_steps, mocov1_steps

DRAWS = 2000


def changed(step: v2.Transform, picture: Image.Image) -> float:
    """Share of draws whose result is another picture."""
    torch.manual_seed(0)
    before = np.asarray(picture)
    return sum(not np.array_equal(np.asarray(step(picture)), before) for _ in range(DRAWS)) / DRAWS


def assert_rate(share: float, probability: float) -> None:
    assert abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / DRAWS)


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8))


@pytest.mark.parametrize("steps", [byol1_steps, byol2_steps])
def test_shared_steps_have_the_published_strengths(steps) -> None:
    crop, flip, jitter, grey = steps(12)[:4]
    assert tuple(crop.scale) == (0.08, 1.0) and crop.interpolation == v2.InterpolationMode.BICUBIC
    assert (flip.p, jitter.p, grey.p) == (0.5, 0.8, 0.2)
    colour = jitter.transforms[0]
    assert isinstance(colour, FastColorJitter)
    assert [tuple(x) for x in (colour.brightness, colour.contrast, colour.saturation, colour.hue)] == [
        pytest.approx(x) for x in ((0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1))]


def test_first_view_is_always_blurred_and_never_solarised() -> None:
    assert [type(step) for step in byol1_steps(12)[4:]] == [GaussianBlur]
    blur = byol1_steps(12)[4]
    assert blur.sigma == (0.1, 2.0)
    flat = [np.asarray(blur(photo())).std() for _ in range(50)]
    assert min(flat) < 0.6 * np.asarray(photo()).std()


def test_second_view_is_seldom_blurred_and_sometimes_solarised() -> None:
    blur, solarise = byol2_steps(12)[4:]
    assert blur.p == 0.1 and isinstance(blur.transforms[0], GaussianBlur)
    assert_rate(changed(solarise, photo()), 0.2)
    torch.manual_seed(0)
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(3).reshape(16, 16, 3))
    turned = next(np.asarray(out) for out in (solarise(ramp) for _ in range(100)) if out is not ramp
                  and not np.array_equal(np.asarray(out), np.asarray(ramp)))
    values = np.asarray(ramp)[..., 0].astype(int)
    assert np.array_equal(turned[..., 0], np.where(values < 128, values, 255 - values))


def test_version_one_greys_before_it_always_jitters() -> None:
    crop, grey, jitter, flip = mocov1_steps(12)
    assert tuple(crop.scale) == (0.2, 1.0) and (grey.p, flip.p) == (0.2, 0.5)
    assert tuple(jitter.hue) == pytest.approx((-0.4, 0.4)) and changed(jitter, photo()) > 0.99
