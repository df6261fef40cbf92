"""View recipes: how one picture becomes a network's uint8 input. Networks normalise; nothing here does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from datasets.views.blur import GaussianBlur
from datasets.views.colour import FastColorJitter
from datasets.views.strips import Resize
from datasets.views.timm_views import Augment, build_steps, finish_steps

BILINEAR = v2.InterpolationMode.BILINEAR
BICUBIC = v2.InterpolationMode.BICUBIC


@dataclass(frozen=True)
class View:
    """What a network looks at: the full image or the object's crop, a recipe of `RECIPES`, and a side in pixels.

    `augment` holds the settings of the recipe `timm`, None for its defaults; no other recipe has any.
    """

    source: Literal["full", "crop"]
    recipe: str
    size: int
    augment: Augment | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a source, recipe or size that does not exist, or settings that are not read."""
        if self.source not in ("full", "crop") or self.recipe not in RECIPES or self.size < 1:
            raise ValueError(f"{self}: source is full or crop, recipe one of {', '.join(RECIPES)}, size at least 1")
        if self.augment is not None and self.recipe != "timm":
            raise ValueError(f"{self}: only the recipe timm has an `augment`")


def to_bytes(picture: Image.Image) -> Tensor:
    """An RGB picture as a uint8 tensor [3, H, W]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def mocov2_steps(size: int) -> list[v2.Transform]:
    """MoCo v2's augmentation (Chen et al., arXiv 2003.04297)."""
    return [
        v2.RandomResizedCrop(size, scale=(0.2, 1.0), interpolation=BILINEAR),
        v2.RandomApply([FastColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(p=0.2),
        v2.RandomApply([GaussianBlur((0.1, 2.0))], p=0.5),
        v2.RandomHorizontalFlip(p=0.5),
    ]


def mocov1_steps(size: int) -> list[v2.Transform]:
    """MoCo v1's augmentation (He et al., arXiv 1911.05722)."""
    return [
        v2.RandomResizedCrop(size, scale=(0.2, 1.0), interpolation=BILINEAR),
        v2.RandomGrayscale(p=0.2),
        FastColorJitter(0.4, 0.4, 0.4, 0.4),
        v2.RandomHorizontalFlip(p=0.5),
    ]


def mild_steps(size: int) -> list[v2.Transform]:
    """A crop of 0.4 to 1 of the area and a flip; colours stay, for guides whose answer depends on them."""
    return [v2.RandomResizedCrop(size, scale=(0.4, 1.0), interpolation=BILINEAR), v2.RandomHorizontalFlip(p=0.5)]


def byol1_steps(size: int) -> list[v2.Transform]:
    """BYOL's first view (Grill et al., arXiv 2006.07733), with LCR's strengths: always blurred."""
    return [*_byol_shared_steps(size), GaussianBlur((0.1, 2.0))]


def byol2_steps(size: int) -> list[v2.Transform]:
    """BYOL's second view, with LCR's strengths: seldom blurred, sometimes solarised."""
    blurred = v2.RandomApply([GaussianBlur((0.1, 2.0))], p=0.1)
    return [*_byol_shared_steps(size), blurred, v2.RandomSolarize(threshold=128, p=0.2)]


def _byol_shared_steps(size: int) -> list[v2.Transform]:
    return [
        v2.RandomResizedCrop(size, scale=(0.08, 1.0), interpolation=BICUBIC),
        v2.RandomHorizontalFlip(p=0.5),
        v2.RandomApply([FastColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        v2.RandomGrayscale(p=0.2),
    ]


def probe_steps(size: int) -> list[v2.Transform]:
    """The usual training view of a linear probe: random crop (0.08 to 1 of the area) and flip."""
    return [v2.RandomResizedCrop(size, interpolation=BILINEAR), v2.RandomHorizontalFlip(p=0.5)]


def adv_steps(size: int) -> list[v2.Transform]:
    """Metric learning's stronger view: random crop, sometimes grey, mild colours, flip (`--augmentation adv`)."""
    crop, flip = probe_steps(size)
    return [crop, v2.RandomGrayscale(p=0.2), FastColorJitter(0.2, 0.2, 0.2, 0.2), flip]


def red_steps(size: int) -> list[v2.Transform]:
    """Metric learning's milder view: short side to 8/7 x size, a random square of it, flip (`--augmentation red`)."""
    shrink = Resize(round(size * 8 / 7), interpolation=BILINEAR, anywhere=True)
    return [shrink, v2.RandomCrop(size), v2.RandomHorizontalFlip(p=0.5)]


def short_steps(size: int) -> list[v2.Transform]:
    """Short side to 8/7 x size (256 for 224), bilinear, and the central square: metric learning's test view."""
    return [Resize(round(size * 8 / 7), interpolation=BILINEAR), v2.CenterCrop(size)]


def short_exact_steps(size: int) -> list[v2.Transform]:
    """Short side to size, bilinear, and the central square: the test view of `--augmentation big`."""
    return [Resize(size, interpolation=BILINEAR), v2.CenterCrop(size)]


def eval_steps(size: int) -> list[v2.Transform]:
    """Short side to 1.14 x size, bicubic, and the central square: aspect kept."""
    return [Resize(round(1.14 * size), interpolation=BICUBIC), v2.CenterCrop(size)]


def squash_steps(size: int) -> list[v2.Transform]:
    """A square of 8/7 x size (256 for 224) whatever the aspect, bilinear, and its centre: the seed's test view."""
    side = round(size * 8 / 7)
    return [Resize((side, side), interpolation=BILINEAR), v2.CenterCrop(size)]


def squash_exact_steps(size: int) -> list[v2.Transform]:
    """The whole picture as size x size, whatever the aspect, bilinear: DDT's view."""
    return [Resize((size, size), interpolation=BILINEAR)]


def small_steps(size: int) -> list[v2.Transform]:
    """MoCo v2's augmentation without blur and with larger crops, for photos of a few dozen pixels."""
    return [
        v2.RandomResizedCrop(size, scale=(0.4, 1.0), interpolation=BILINEAR),
        v2.RandomApply([FastColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(p=0.2),
        v2.RandomHorizontalFlip(p=0.5),
    ]


def timm_steps(size: int) -> list[Callable[[Image.Image], Image.Image]]:
    """timm's training view with its default settings, but for the random erasing that follows in bytes."""
    return build_steps(Augment(), size)


def deit_eval_steps(size: int) -> list[v2.Transform]:
    """Short side to 256/224 x size rounded down (438 for 384), bicubic, and the central square: DeiT's test view."""
    return [Resize(int(256 / 224 * size), interpolation=BICUBIC), v2.CenterCrop(size)]


def warp_steps(size: int) -> list[v2.Transform]:
    """The whole picture as size x size, whatever the aspect, bicubic: ConvNeXt's test view from 384 pixels on."""
    return [Resize((size, size), interpolation=BICUBIC)]


def pim_steps(size: int) -> list[v2.Transform]:
    """The plug-in module's training view (Chou et al., arXiv 2202.03822): squashed, a random square, mild changes."""
    return [
        _pim_squash(size),
        v2.RandomCrop(size),
        v2.RandomHorizontalFlip(p=0.5),
        v2.RandomApply([GaussianBlur((0.1, 5.0), reach=2)], p=0.1),
        v2.RandomAdjustSharpness(1.5, p=0.1),
    ]


def pim_eval_steps(size: int) -> list[v2.Transform]:
    """The plug-in module's test view: squashed like its training view, and the central square."""
    return [_pim_squash(size), v2.CenterCrop(size)]


def _pim_squash(size: int) -> v2.Transform:
    """A square of 510 from 384 pixels on, as published, whatever the aspect, bilinear; that ratio below and above."""
    side = 510 if 384 <= size < 510 else round(size * 510 / 384)
    return Resize((side, side), interpolation=BILINEAR)


RECIPES: dict[str, Callable[[int], list[v2.Transform]]] = {
    "mocov2": mocov2_steps,
    "mocov1": mocov1_steps,
    "mild": mild_steps,
    "byol1": byol1_steps,
    "byol2": byol2_steps,
    "probe": probe_steps,
    "adv": adv_steps,
    "red": red_steps,
    "short": short_steps,
    "short-exact": short_exact_steps,
    "eval": eval_steps,
    "squash": squash_steps,
    "squash-exact": squash_exact_steps,
    "small": small_steps,
    "timm": timm_steps,
    "deit-eval": deit_eval_steps,
    "warp": warp_steps,
    "pim": pim_steps,
    "pim-eval": pim_eval_steps,
}


@dataclass(frozen=True)
class Augmentation:
    """Metric learning's views by the name of `--augmentation`: recipes of training and test, and the side in pixels."""

    train: str
    test: str
    size: int = 224


AUGMENTATIONS = {
    "base": Augmentation("probe", "short"),
    "adv": Augmentation("adv", "short"),
    "big": Augmentation("probe", "short-exact", 256),
    "red": Augmentation("red", "short"),
}


def make_transform(view: View) -> Callable[[Image.Image], Tensor]:
    """RGB picture -> uint8 [3, size, size]; draws from the global generators, which the data set seeds per view."""
    if view.recipe == "timm":
        augment = view.augment or Augment()
        return v2.Compose([*build_steps(augment, view.size), to_bytes, *finish_steps(augment)])
    return v2.Compose([*RECIPES[view.recipe](view.size), to_bytes])
