"""Recipes: what each view contains, and that every augmentation happens as often and as strongly as its paper says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from datasets.views.blur import GaussianBlur
from datasets.views.recipes import AUGMENTATIONS, RECIPES, View, make_transform, mocov2_steps, pim_steps, small_steps

DRAWS = 2000


def photo(width: int = 96, height: int = 72) -> Image.Image:
    """A colourful, asymmetric, smooth picture."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 2, 255 - y * 3, 127 + 120 * np.sin(x / 9) * np.cos(y / 7)]
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))


def count(step: v2.Transform, happened: Callable[[Image.Image], bool], picture: Image.Image) -> int:
    """How often a step shows in its result."""
    torch.manual_seed(0)
    return sum(happened(step(picture)) for _ in range(DRAWS))


def assert_rate(hits: int, probability: float) -> None:
    """Within 4 standard deviations of a binomial: p = 6e-5 of failing by chance, were the seed not fixed."""
    assert abs(hits - DRAWS * probability) < 4 * math.sqrt(DRAWS * probability * (1 - probability))


def spy(step: v2.Transform, picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The parameters that a step draws in DRAWS calls."""
    drawn = []

    def record(inpt: Image.Image, params: dict[str, Any]) -> Image.Image:
        drawn.append(params)
        return inpt

    monkeypatch.setattr(step, "transform", record)
    torch.manual_seed(0)
    for _ in range(DRAWS):
        step(picture)
    return drawn


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("picture", [photo(), photo(30, 200), photo(3, 2)])
def test_every_recipe_makes_bytes_of_its_size(recipe: str, picture: Image.Image) -> None:
    view = make_transform(View("full", recipe, 32))(picture)
    assert view.dtype == torch.uint8 and view.shape == (3, 32, 32)


@pytest.mark.parametrize("arguments", [("half", "eval", 8), ("full", "none", 8), ("full", "eval", 0)])
def test_impossible_views_are_refused(arguments: tuple[str, str, int]) -> None:
    with pytest.raises(ValueError, match="mocov2"):
        View(*arguments)


def test_moco_jitter_rate() -> None:
    picture = photo(12, 12)
    assert_rate(count(mocov2_steps(12)[1], lambda out: out is not picture, picture), 0.8)


def test_moco_grey_rate() -> None:
    def is_grey(out: Image.Image) -> bool:
        return bool((np.ptp(np.asarray(out), axis=-1) == 0).all())

    assert_rate(count(mocov2_steps(12)[2], is_grey, photo(12, 12)), 0.2)


def test_moco_blur_rate_and_direction() -> None:
    checker = Image.fromarray((np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")
    # Half of the draws leave the picture alone, and the blurred ones lose contrast rather than gain it.
    assert_rate(count(mocov2_steps(16)[3], lambda out: out is not checker, checker), 0.5)
    torch.manual_seed(0)
    assert all(np.asarray(GaussianBlur((0.5, 2.0))(checker)).std() < 127 for _ in range(50))


def test_moco_flip_rate() -> None:
    picture = photo(12, 12)
    mirrored = np.asarray(picture)[:, ::-1]
    assert_rate(count(mocov2_steps(12)[4], lambda out: np.array_equal(np.asarray(out), mirrored), picture), 0.5)


def test_moco_blur_sigma_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    sigma = [params["sigma"] for params in spy(mocov2_steps(8)[3].transforms[0], photo(8, 8), monkeypatch)]
    assert min(sigma) >= 0.1 and max(sigma) <= 2.0
    histogram = np.histogram(sigma, bins=5, range=(0.1, 2.0))[0]
    for hits in histogram:
        assert_rate(hits, 0.2)


def test_moco_crop_scale_and_aspect(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photo(400, 400)
    drawn = spy(mocov2_steps(8)[0], picture, monkeypatch)
    share = np.array([params["width"] * params["height"] / 400**2 for params in drawn])
    aspect = np.array([params["width"] / params["height"] for params in drawn])
    assert 0.195 < share.min() < 0.22 and 0.95 < share.max() <= 1.0
    assert aspect.min() > 0.74 and aspect.max() < 1.35
    # Slightly below the uniform mean of 0.6: wide crops of nearly all the area do not fit and are drawn again.
    assert 0.54 < share.mean() < 0.61
    assert all(0 <= params["left"] <= 400 - params["width"] for params in drawn)


def test_moco_jitter_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spy(mocov2_steps(8)[1].transforms[0], photo(8, 8), monkeypatch)
    for name, low, high in (
        ("brightness_factor", 0.6, 1.4),
        ("contrast_factor", 0.6, 1.4),
        ("saturation_factor", 0.6, 1.4),
        ("hue_factor", -0.1, 0.1),
    ):
        values = np.array([params[name] for params in drawn])
        assert low <= values.min() and values.max() <= high
        for hits in np.histogram(values, bins=4, range=(low, high))[0]:
            assert_rate(hits, 0.25)


def test_views_differ_by_the_global_generator_only() -> None:
    transform = make_transform(View("full", "mocov2", 24))
    torch.manual_seed(3)
    first, second = transform(photo()), transform(photo())
    torch.manual_seed(3)
    assert torch.equal(transform(photo()), first) and not torch.equal(first, second)


def test_small_photos_are_not_blurred() -> None:
    assert not any("Blur" in repr(step) for step in small_steps(32))


@pytest.mark.parametrize("size", [224, 448])
def test_eval_keeps_the_aspect(size: int) -> None:
    picture = photo(500, 375)
    side = round(1.14 * size)
    wide = picture.resize((int(side * 500 / 375), side), Image.Resampling.BICUBIC)
    left, top = round((wide.width - size) / 2), round((side - size) / 2)
    expected = np.asarray(wide.crop((left, top, left + size, top + size)))
    view = make_transform(View("full", "eval", size))(picture)
    assert np.array_equal(view.permute(1, 2, 0).numpy(), expected)


def test_squash_is_256_then_224() -> None:
    expected = photo(500, 375).resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240))
    view = make_transform(View("full", "squash", 224))(photo(500, 375))
    assert np.array_equal(view.permute(1, 2, 0).numpy(), np.asarray(expected))


def test_squash_exact_shows_the_whole_picture() -> None:
    expected = photo(500, 375).resize((448, 448), Image.Resampling.BILINEAR)
    view = make_transform(View("full", "squash-exact", 448))(photo(500, 375))
    assert np.array_equal(view.permute(1, 2, 0).numpy(), np.asarray(expected))


def test_metric_learnings_views_have_their_published_sizes() -> None:
    wide = Image.new("RGB", (512, 300), (10, 20, 30))
    wide.paste((200, 20, 30), (0, 0, 60, 300))
    for augmentation in AUGMENTATIONS.values():
        for recipe in (augmentation.train, augmentation.test):
            assert make_transform(View("full", recipe, augmentation.size))(wide).shape == (3, *[augmentation.size] * 2)
    resize, crop = RECIPES["short"](224)
    assert resize.size == [256] and crop.size == (224, 224) and RECIPES["short-exact"](256)[0].size == [256]
    assert RECIPES["red"](224)[0].size == [256]
    shown = make_transform(View("full", "short-exact", 300))(wide)
    assert (shown[0] == 10).all()  # the central 300 of 512 columns, nothing stretched


@pytest.mark.parametrize("recipe, side, method", [
    ("warp", None, Image.Resampling.BICUBIC), ("pim-eval", 510, Image.Resampling.BILINEAR)])
def test_views_that_ignore_the_aspect(recipe: str, side: int | None, method: Image.Resampling) -> None:
    left = (side - 384) // 2 if side else 0
    squashed = photo(500, 375).resize((side or 384, side or 384), method)
    expected = squashed.crop((left, left, left + 384, left + 384))
    view = make_transform(View("full", recipe, 384))(photo(500, 375))
    assert np.array_equal(view.permute(1, 2, 0).numpy(), np.asarray(expected))


@pytest.mark.parametrize("size, side", [(384, 510), (448, 510), (509, 510), (224, 298), (510, 677), (32, 42)])
def test_pims_square_is_510_wherever_that_is_enough(size: int, side: int) -> None:
    """Hard-coded in the public code, whose presets have 384 and 448 pixels; other sizes keep its first ratio."""
    for recipe in ("pim", "pim-eval"):
        assert RECIPES[recipe](size)[0].size == [side, side]
    assert make_transform(View("full", "pim-eval", size))(photo(50, 37)).shape == (3, size, size)


def test_deits_test_view_has_a_short_side_of_438() -> None:
    wide = photo(500, 375).resize((int(438 * 500 / 375), 438), Image.Resampling.BICUBIC)
    left = round((wide.width - 384) / 2)
    view = make_transform(View("full", "deit-eval", 384))(photo(500, 375))
    assert np.array_equal(view.permute(1, 2, 0).numpy(), np.asarray(wide.crop((left, 27, left + 384, 27 + 384))))


def test_pims_view_blurs_with_five_pixels_and_sharpens_each_in_one_of_ten() -> None:
    squash, crop, flip, blurring, sharpen = pim_steps(384)
    assert squash.size == [510, 510] and crop.size == (384, 384) and flip.p == 0.5 and sharpen.p == 0.1
    dot = Image.new("RGB", (15, 15))
    dot.putpixel((7, 7), (255, 255, 255))
    assert_rate(count(blurring, lambda out: out is not dot, dot), 0.1)
    torch.manual_seed(0)
    spread = np.max([np.asarray(blurring.transforms[0](dot))[..., 0] for _ in range(40)], axis=0)
    assert (spread[5:10, 5:10] > 0).all() and spread.sum() == spread[5:10, 5:10].sum()
    edge = Image.fromarray(np.repeat([[[90, 90, 90]], [[150, 150, 150]]], 12, axis=1).repeat(6, 0).astype(np.uint8))
    assert_rate(count(sharpen, lambda out: not np.array_equal(np.asarray(out), np.asarray(edge)), edge), 0.1)


def test_the_documentation_names_every_recipe() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    assert [recipe for recipe in RECIPES if f"| `{recipe}` |" not in text] == []
