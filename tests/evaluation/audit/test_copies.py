"""Copies among small pictures: every way in which one is made of another, and none of what merely looks alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from evaluation.audit.copies import (
    SIDE,
    Copies,
    find_copies,
    find_like_details,
    join_groups,
    make_stretches,
    propose_pairs,
    sharpen,
)


def draw_scene(seed: int, broken: int = 12) -> Image.Image:
    """A picture of random patches, 240 x 180 pixels, with detail at every scale."""
    draw = np.random.default_rng(seed)
    picture = np.zeros((180, 240))
    for size in (3, 6, broken):
        patches = Image.fromarray(draw.integers(0, 255, (size * 3, size * 4), dtype=np.uint8))
        picture += np.asarray(patches.resize((240, 180), Image.Resampling.BICUBIC), dtype=float) / size
    return Image.fromarray((255 * (picture - picture.min()) / np.ptp(picture)).astype(np.uint8))


def shrink(*pictures: Image.Image) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(one.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for one in pictures]))


def compare_all(small: Tensor) -> Copies:
    """All pictures proposed as neighbours of all."""
    count = len(small)
    near = torch.stack([torch.tensor([other for other in range(count) if other != one]) for one in range(count)])
    return find_copies(near, torch.ones(near.shape), small)


@pytest.mark.parametrize(("change", "mirrored", "cut"), [
    (lambda one: one.resize((90, 70)), False, False),
    (ImageOps.mirror, True, False),
    (lambda one: one.crop((12, 9, 240, 180)), False, True),
    (lambda one: one.crop((0, 0, 200, 150)), False, True),
    (lambda one: ImageOps.mirror(one.crop((10, 10, 220, 165))), True, True),
    (lambda one: one.point(lambda value: 60 + value // 2), False, False)])
def test_a_copy_is_found_whichever_of_the_two_comes_first(change: object, mirrored: bool, cut: bool) -> None:
    scene = draw_scene(1)
    for pictures in ((scene, change(scene), draw_scene(2)), (draw_scene(2), change(scene), scene)):
        found = compare_all(shrink(*pictures))
        assert found.pairs.tolist() == [[0, 1] if pictures[0] is scene else [1, 2]]
        assert float(found.likeness) > 0.85 and bool(found.mirrored) == mirrored and bool(found.cut) == cut


def test_pictures_of_the_same_light_and_shade_are_no_copies() -> None:
    sky = np.linspace(160, 0, 180)[:, None].repeat(240, axis=1)  # the same evening behind twelve birds
    draw = np.random.default_rng(0)
    leaves = [Image.fromarray(draw.integers(0, 90, (24, 32), dtype=np.uint8)).resize((240, 180)) for _ in range(12)]
    small = shrink(*(Image.fromarray((sky + np.asarray(one)).astype(np.uint8)) for one in leaves))
    alike = torch.corrcoef(small.flatten(1).float())
    assert float(alike.min()) > 0.7 and len(compare_all(small).pairs) == 0


def test_flat_pictures_are_like_nothing_and_nothing_proposed_is_nothing_found() -> None:
    flat = torch.full((3, SIDE, SIDE), 128, dtype=torch.uint8)
    assert len(compare_all(flat).pairs) == 0
    found = find_copies(torch.tensor([[1], [0]]), torch.tensor([[0.1], [0.1]]), shrink(draw_scene(1), draw_scene(1)))
    assert found.pairs.shape == (0, 2) and found.likeness.shape == (0,) and found.cut.dtype == torch.bool


def test_pairs_are_proposed_once_and_only_near_ones() -> None:
    near = torch.tensor([[1, 2], [0, 2], [1, 0], [0, 1]])
    cosine = torch.tensor([[0.9, 0.1], [0.9, 0.5], [0.5, 0.1], [0.3, 0.2]])
    assert propose_pairs(near, cosine, 0.4).tolist() == [[0, 1], [1, 2]]
    assert propose_pairs(near, cosine, 0.95).shape == (0, 2)


def test_a_stretch_takes_what_is_left_over_the_whole_row() -> None:
    row = torch.arange(32.0)
    whole = make_stretches(torch.tensor(0.0), torch.tensor(0.0), 32)
    assert torch.equal(whole, torch.eye(32))
    half = make_stretches(torch.tensor(0.25), torch.tensor(0.25), 32) @ row
    naive = torch.tensor([8 + (pixel + 0.5) / 2 - 0.5 for pixel in range(32)])
    assert torch.allclose(half, naive, atol=1e-5)


def test_sharpening_leaves_no_even_light() -> None:
    ramp = torch.arange(32.0).expand(1, 32, 32)
    assert float(sharpen(ramp)[:, :, 2:-2].abs().max()) < 1e-4


def test_groups_are_what_pairs_lead_to() -> None:
    assert join_groups(7, torch.tensor([[5, 6], [1, 3], [3, 4]])).tolist() == [-1, 0, -1, 0, 0, 1, 1]
    assert join_groups(2, torch.empty(0, 2, dtype=torch.long)).tolist() == [-1, -1]


def test_like_details_are_found_without_a_network() -> None:
    scenes = [draw_scene(seed) for seed in range(8)]
    small = shrink(*scenes, ImageOps.mirror(scenes[3]), scenes[5].resize((90, 70)))
    near, cosine = find_like_details(small, count=1)
    assert near.shape == (10, 2) and near[8].tolist()[1] == 3 and near[9].tolist()[0] == 5
    assert float(cosine[8, 1]) > 0.95 and float(cosine[9, 0]) > 0.95
    assert find_copies(near, cosine, small).pairs.tolist() == [[3, 8], [5, 9]]
