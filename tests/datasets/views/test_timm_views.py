"""The recipe `timm`: the same pixels as timm's own pipeline, drawn from the generators that the data set seeds."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from datasets.images import scan
from datasets.sampling.batches import Draw
from datasets.view_set import ViewSet, seed_generators
from datasets.views.recipes import View, make_transform
from datasets.views.timm_views import MEAN, STD, Augment, ByteErasing, build_steps, keep_bits


def photo(width: int = 90, height: int = 70) -> Image.Image:
    """A colourful, asymmetric, smooth picture."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 2, 255 - y * 3, 127 + 120 * np.sin(x / 9) * np.cos(y / 7)]
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("augment", [Augment(), Augment(None, reprob=0.0), Augment("augmix-m3"), Augment("3a"),
                                     Augment("original", remode="const", recount=3, reprob=1.0),
                                     Augment(None, remode="rand", reprob=1.0, interpolation="random")])
def test_the_pixels_are_timms(augment: Augment) -> None:
    """timm's pipeline ends in normalised floats; brought back to bytes they are ours, for the same seeds."""
    theirs = create_transform(
        48, is_training=True, auto_augment=augment.auto_augment, color_jitter=augment.color_jitter,
        interpolation=augment.interpolation, re_prob=augment.reprob, re_mode=augment.remode, re_count=augment.recount,
        mean=MEAN, std=STD)
    ours = make_transform(View("full", "timm", 48, augment))
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    for seed in range(25):
        seed_generators(seed)
        expected = (255 * (theirs(photo()) * std + mean)).round().clamp(0, 255).byte()
        seed_generators(seed)
        assert torch.equal(ours(photo()), expected)


def test_all_randomness_comes_from_the_seeded_generators() -> None:
    transform = make_transform(View("full", "timm", 32, Augment("augmix-m5")))
    views = []
    for seed in (1, 1, 2):
        seed_generators(seed)
        views.append(transform(photo()))
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])


def test_a_view_depends_on_its_draw_alone(photo_tree: object) -> None:
    images = scan(photo_tree)
    first = ViewSet(images, {"v": View("full", "timm", 32)}, seed=5)
    again = ViewSet(images, {"v": View("full", "timm", 32)}, seed=5)
    draws = [Draw(index, epoch, repeat) for index in (0, 3) for epoch in (0, 1) for repeat in (0, 1)]
    seen = [first[draw].views["v"] for draw in draws]
    random.seed(99)
    backwards = [again[draw].views["v"] for draw in reversed(draws)][::-1]
    assert all(torch.equal(one, other) for one, other in zip(seen, backwards))
    assert len({view.numpy().tobytes() for view in seen}) == len(draws)


def test_erasing_happens_as_often_as_asked_and_pixel_noise_is_normal_around_the_mean() -> None:
    erase = ByteErasing(Augment(reprob=0.25))
    pixels = torch.zeros(3, 40, 40, dtype=torch.uint8)
    changed = [noisy for _ in range(800) if not torch.equal(noisy := erase(pixels), pixels)]
    assert abs(len(changed) - 200) < 4 * (800 * 0.25 * 0.75) ** 0.5
    assert (pixels == 0).all() and all(0.01 < (noisy.sum(0) > 0).float().mean() < 0.36 for noisy in changed)
    inside = torch.cat([noisy[1][noisy.sum(0) > 0] for noisy in changed]).float() / 255
    assert abs(inside.median() - MEAN[1]) < 0.01 and abs(inside.std() - STD[1]) < 0.02


@pytest.mark.parametrize("settings", [{"auto_augment": "rand-m9-foo1"}, {"auto_augment": "nonsense"},
                                      {"auto_augment": "rand-mX"}, {"auto_augment": "rand-m9-tfoo"},
                                      {"auto_augment": "augmix-m"}, {"auto_augment": "v0-mstd"},
                                      {"reprob": 2.0},
                                      {"remode": "noise"}, {"scale": (0.5, 0.1)}, {"recount": 0},
                                      {"auto_augment": None, "color_jitter": (0.1, 0.2)}, {"interpolation": "cubic"}])
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Augment(**settings)


def test_other_recipes_refuse_settings() -> None:
    with pytest.raises(ValueError, match="timm"):
        View("full", "eval", 32, Augment())


def draw(policy: str, times: int, size: int = 6) -> None:
    """Views of a tiny picture under a policy, without the crop and the flip; a colour jitter may follow."""
    *_, augment = build_steps(Augment(policy, color_jitter=None), size)
    picture = photo(size, size)
    assert all((seen := augment(picture)).size == picture.size and seen.mode == "RGB" for _ in range(times))


@pytest.mark.parametrize("magnitude", range(11))
@pytest.mark.parametrize("increasing", [0, 1])
def test_random_policies_survive_every_draw_at_every_magnitude(increasing: int, magnitude: int) -> None:
    """rand-m9-mstd0.5-inc1, the default, asks for 0 bits about once in 600 views."""
    for rest in ("", "-mstd0.5", "-mstd101", "-n3-mmax40-mstd9", "-tweights", "-t3a-p1", "-t3aw"):
        draw(f"rand-m{magnitude}-inc{increasing}{rest}", 150)
    draw(f"augmix-m{magnitude}-b{increasing}", 60)
    draw(f"augmix-m{magnitude}-w2-d1-mstd0.5-b{increasing}", 60)


@pytest.mark.parametrize("policy", ["original", "originalr", "v0", "v0r", "3a"])
@pytest.mark.parametrize("noise", ["", "-mstd0.5", "-mstd9"])
def test_fixed_policies_survive_every_draw(policy: str, noise: str) -> None:
    draw(policy + noise, 1000)


def test_the_default_survives_as_many_views_as_an_epoch_has() -> None:
    draw("rand-m9-mstd0.5-inc1", 8000)


@pytest.mark.parametrize("kind", ["Posterize", "PosterizeIncreasing", "PosterizeOriginal"])
def test_posterising_keeps_the_highest_bits_and_none_is_black(kind: str) -> None:
    from timm.data.auto_augment import NAME_TO_OP, AugmentOp

    pixels = np.asarray(photo())
    for bits in range(-6, 10):
        kept = 0xFF << (8 - max(0, min(8, bits))) & 0xFF
        assert np.array_equal(np.asarray(keep_bits(photo(), bits, fillcolor=None)), pixels & kept)
    assert NAME_TO_OP[kind] is not keep_bits and AugmentOp(kind).aug_fn is not keep_bits, "timm's own table stays"


@pytest.mark.parametrize("policy", ["rand-m9-n16-tweights", "rand-m9-n15-t3aw", "augmix-a0"])
def test_policies_that_cannot_be_drawn_from_are_refused(policy: str) -> None:
    """timm builds them without a word; no view could be made."""
    with pytest.raises(ValueError, match=policy):
        Augment(policy)


def test_checking_a_policy_takes_no_draw_from_the_generators() -> None:
    seed_generators(4)
    before = random.random(), np.random.random(), torch.rand(1).item()
    seed_generators(4)
    Augment("3a", color_jitter=0.4)
    assert (random.random(), np.random.random(), torch.rand(1).item()) == before
