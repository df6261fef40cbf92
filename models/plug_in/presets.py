"""Backbones of the plug-in module as data: where each is tapped, at which image size, how levels are brought together.

The first four are the published ones under their builders' names (PIM, arXiv 2202.03822); the others train on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Preset:
    """timm's name, the side of an image in pixels, and module names shallow to deep.

    `upsample` is how deep levels reach shallow ones ("conv": for this size only). `imagenet_norm`: images are
    standardised with ImageNet's statistics whatever the network's own configuration says.
    """

    arch: str
    size: int
    taps: tuple[str, ...]
    upsample: Literal["bilinear", "conv"] = "bilinear"
    imagenet_norm: bool = False


_PYRAMID = ("blocks.1", "blocks.2", "blocks.4", "blocks.6")  # the last blocks at strides 4, 8, 16 and 32
_STAGES = ("layer1", "layer2", "layer3", "layer4")

PRESETS: dict[str, Preset] = {
    # Swin-L, despite the name. Merging of patches ends a stage in the public code and begins the next one in timm.
    "swin-t": Preset(
        arch="swin_large_patch4_window12_384", size=384, upsample="conv",
        taps=("layers.1.downsample", "layers.2.downsample", "layers.3.downsample", "layers.3")),
    "resnet50": Preset(arch="resnet50", size=448, taps=_STAGES),
    # Its own configuration asks for mean 0 and standard deviation 1; the public code trained it with ImageNet's.
    "vit": Preset(
        arch="vit_base_patch16_224_miil", size=448, upsample="conv", imagenet_norm=True,
        taps=("blocks.8", "blocks.9", "blocks.10", "blocks.11")),
    "efficient": Preset(arch="tf_efficientnet_b7", size=448, taps=("blocks.3", "blocks.4", "blocks.5", "blocks.6")),
    "lite0": Preset(arch="tf_efficientnet_lite0", size=224, taps=_PYRAMID),
    "lite2": Preset(arch="tf_efficientnet_lite2", size=224, taps=_PYRAMID),
    "resnet18": Preset(arch="resnet18", size=224, taps=_STAGES),
}


# Positions kept of each level, shallow to deep, as the public codes were run on these sets.
SELECTS = {"cub": (2048, 512, 128, 32), "nabirds": (256, 128, 64, 32), "aicup": (32, 32, 32, 32)}


def find_preset(name: str) -> Preset | None:
    """The preset of that name, or of the timm architecture of that name; None where there is neither."""
    return PRESETS.get(name) or next((preset for preset in PRESETS.values() if preset.arch == name), None)
