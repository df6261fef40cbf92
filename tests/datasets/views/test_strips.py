"""Thin strips: no view makes anything much larger than what comes out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from datasets.views.recipes import BILINEAR, RECIPES, View, make_transform
from datasets.views.strips import Resize

STRIPS = [(1, 60000), (60000, 1), (2, 20000), (20000, 3), (30, 9000)]


@pytest.mark.parametrize("size", STRIPS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_memory_follows_what_comes_out(recipe: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    made, resize = [], Image.Image.resize

    def note(picture: Image.Image, size: tuple[int, int], *args: object, **options: object) -> Image.Image:
        made.append(size[0] * max(size[1], picture.height))  # Pillow resizes across first
        return resize(picture, size, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", note)
    assert make_transform(View("full", recipe, 64))(Image.new("RGB", size)).shape == (3, 64, 64)
    assert max(made) <= max(size[0] * size[1], 80 * 80 * 20)


@pytest.mark.parametrize("wanted", [24, (24, 24)])
def test_ordinary_pictures_come_out_as_torchvisions(wanted: int | tuple[int, int]) -> None:
    for shape in ((40, 60, 3), (200, 13, 3), (13, 200, 3)):
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8))
        ours, theirs = (kind(wanted, interpolation=BILINEAR)(picture) for kind in (Resize, v2.Resize))
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("turned", [False, True])
def test_the_middle_of_a_strip_is_what_a_central_square_shows(turned: bool) -> None:
    grey = np.linspace(0, 255, 4000).astype(np.uint8)[None, :, None].repeat(3, 2).repeat(8, 0)
    picture = Image.fromarray(np.ascontiguousarray(grey.transpose(1, 0, 2) if turned else grey))
    ours = v2.CenterCrop(16)(Resize(16, interpolation=BILINEAR)(picture))
    theirs = v2.CenterCrop(16)(v2.Resize(16, interpolation=BILINEAR)(picture))
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_a_tall_strip_is_squashed_as_before() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (3000, 20, 3), dtype=np.uint8))
    ours, theirs = (kind((32, 32), interpolation=BILINEAR)(picture) for kind in (Resize, v2.Resize))
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_any_part_of_a_strip_is_drawn_and_nothing_for_others() -> None:
    resize = Resize(8, interpolation=BILINEAR, anywhere=True)
    strip = Image.fromarray(np.linspace(0, 255, 4000).astype(np.uint8)[None, :, None].repeat(3, 2).repeat(2, 0))
    assert np.ptp([np.asarray(resize(strip)).mean() for _ in range(40)]) > 150
    before = torch.get_rng_state()
    resize(Image.new("RGB", (30, 40)))
    assert torch.equal(torch.get_rng_state(), before)
