"""The training view of DeiT and ConvNeXt: timm's transforms, with uint8 pixels at the end like every view here."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

if TYPE_CHECKING:
    from timm.data.auto_augment import AugmentOp

# ImageNet's channel means and deviations (0..1), the units in which random erasing draws its noise.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MODES = ("pixel", "rand", "const")
_SETS = ("tweights", "t3a", "t3aw")
_INTERPOLATIONS = ("bicubic", "bilinear", "lanczos", "random")


@dataclass(frozen=True)
class Augment:
    """What the recipe `timm` does, under timm's own names; the defaults are DeiT's (Touvron et al., arXiv 2012.12877).

    `auto_augment` is a string of timm's ("rand-m9-mstd0.5-inc1", "augmix-m5-w4-d2", "original", "v0", "3a") or None.
    While one is set, `color_jitter` has no effect, except beside "3a". `reprob` is the probability of random erasing,
    `remode` its noise (pixel, rand: one colour, const: the mean), `recount` the greatest number of rectangles.
    """

    auto_augment: str | None = "rand-m9-mstd0.5-inc1"
    color_jitter: float | tuple[float, ...] | None = 0.4
    interpolation: str = "bicubic"
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    hflip: float = 0.5
    reprob: float = 0.25
    remode: str = "pixel"
    recount: int = 1

    def __post_init__(self) -> None:
        """Raises ValueError that names everything impossible."""
        wrong = [f"{name} {value} is no probability" for name, value in (("hflip", self.hflip), ("reprob", self.reprob))
                 if not 0 <= value <= 1]
        if self.remode not in _MODES:
            wrong.append(f"remode {self.remode!r} is none of {', '.join(_MODES)}")
        if self.recount < 1:
            wrong.append(f"recount {self.recount} is not at least 1")
        if self.interpolation not in _INTERPOLATIONS:
            wrong.append(f"interpolation {self.interpolation!r} is none of {', '.join(_INTERPOLATIONS)}")
        for name, low, high in (("scale", *self.scale), ("ratio", *self.ratio)):
            if not 0 < low <= high:
                wrong.append(f"{name} {low}, {high} is no range of positive numbers")
        if not wrong:
            wrong += self._find_bad_policy()
        if wrong:
            raise ValueError("; ".join(wrong))

    def _find_bad_policy(self) -> list[str]:
        """timm tells a policy that it does not know when it builds it, or not before it draws from it.

        Words without a number it passes over, and an unknown set of operations is the usual one to it.
        """
        unread = list_unread_words(self.auto_augment or "")
        if unread:
            return [f"auto_augment {self.auto_augment!r}: timm passes over {', '.join(map(repr, unread))}; a word is "
                    f"letters and a number, as in rand-m9-mstd0.5-inc1, or one of {', '.join(_SETS)} after rand"]
        try:
            _try_steps(build_steps(self, 32))
        except (AssertionError, ArithmeticError, LookupError, ValueError, TypeError) as error:
            return [f"timm cannot build auto_augment {self.auto_augment!r} with color_jitter {self.color_jitter} "
                    f"({error}); rand-m9-mstd0.5-inc1, augmix-m3, original, v0 and 3a are such"]
        return []


def list_unread_words(policy: str) -> list[str]:
    """The words behind a policy's name that say nothing to timm: no number in them, and no set of operations."""
    name, *words = policy.split("-")
    return [word for word in words if word not in (_SETS if name == "rand" else ())
            and ((name == "rand" and word.startswith("t")) or not any(map(str.isdigit, word)))]


def _try_steps(steps: Iterable[Callable[[Image.Image], Image.Image]]) -> None:
    """A few views of a small grey picture; the global generators are left as they were."""
    plain, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            for _ in range(4):
                reduce(lambda picture, step: step(picture), steps, Image.new("RGB", (8, 8), (90, 120, 150)))
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)


def build_steps(augment: Augment, size: int) -> list[Callable[[Image.Image], Image.Image]]:
    """timm's crop, flip and policy: RGB picture -> RGB picture of size x size.

    They draw from the global generators of random, NumPy and torch.
    """
    from timm.data.transforms_factory import transforms_imagenet_train  # late: timm takes seconds to import

    crop, colours, _ = transforms_imagenet_train(
        size, scale=augment.scale, ratio=augment.ratio, hflip=augment.hflip,
        color_jitter=augment.color_jitter,  # type: ignore[arg-type]  # timm takes None too
        auto_augment=augment.auto_augment or None, interpolation=augment.interpolation, mean=MEAN, std=STD,
        normalize=False, separate=True)
    for step in colours.transforms:
        _guard_posterize(step)
    return [*crop.transforms, *colours.transforms]


def _guard_posterize(policy: object) -> None:
    """Give the posterising operations of a policy of timm's a meaning for 0 bits."""
    for operation in _operations(policy):
        if "Posterize" in operation.name:
            operation.aug_fn = keep_bits


def _operations(policy: object) -> list[AugmentOp]:
    """The operations of a RandAugment, AugMix (`ops`) or AutoAugment (`policy`: sequences of them)."""
    return [*getattr(policy, "ops", ()), *chain.from_iterable(getattr(policy, "policy", ()))]


def keep_bits(picture: Image.Image, bits: int, **_: object) -> Image.Image:
    """Posterising: the highest `bits` of every channel's eight. None of them (0 or fewer) is black.

    RandAugment asks for 0 bits at its greatest magnitude (and for fewer above it), which Pillow refuses from 13 on.
    """
    if bits <= 0:
        return Image.new(picture.mode, picture.size)
    return picture if bits >= 8 else ImageOps.posterize(picture, bits)


class ByteErasing:
    """timm's random erasing (Zhong et al., arXiv 1708.04896) of a uint8 tensor [3, H, W].

    timm draws its noise for normalised pixels; here it is brought back to bytes, and clipped where it is blacker than
    black or whiter than white.
    """

    def __init__(self, augment: Augment) -> None:
        from timm.data.random_erasing import RandomErasing

        self._erase = RandomErasing(augment.reprob, mode=augment.remode, max_count=augment.recount, device="cpu")
        self._mean, self._std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def __call__(self, pixels: Tensor) -> Tensor:
        """The pixels, with noise in the rectangles that are drawn."""
        noise = self._erase(torch.full(pixels.shape, torch.nan))
        drawn = (255 * (noise * self._std + self._mean)).round().clamp(0, 255)
        return torch.where(noise.isnan(), pixels, drawn.nan_to_num().to(torch.uint8))


def finish_steps(augment: Augment) -> list[Callable[[Tensor], Tensor]]:
    """What follows once the picture is bytes: random erasing, when there is any."""
    return [ByteErasing(augment)] if augment.reprob > 0 else []
