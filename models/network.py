"""What is asked of a network: of one that timm builds, and of ours when they are trained, by name and type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypedDict, cast

import timm
from timm.models import PretrainedCfg
from torch import Tensor, nn

Description = dict[str, Any]  # what rebuilds a network, in plain JSON types; its reader checks what it finds


class UsualConfig(TypedDict):
    """What every timm network says of its published weights: sides in (channels, height, width), numbers a channel."""

    architecture: str
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class TimmConfig(UsualConfig, total=False):
    """And what some say beside it."""

    tag: str
    test_input_size: tuple[int, int, int] | None


class TimmNetwork(nn.Module):
    """timm's interface as far as it is used here. timm's own networks have it; none is made of this class."""

    num_features: int
    num_classes: int
    head_hidden_size: int
    num_prefix_tokens: int
    pretrained_cfg: TimmConfig
    forward_features: Callable[[Tensor], Tensor]
    forward_head: Callable[..., Tensor]
    forward_intermediates: Callable[..., list[Tensor]]
    get_classifier: Callable[[], nn.Module | tuple[nn.Module, ...]]
    head_drop: nn.Module
    set_distilled_training: Callable[[bool], None]
    group_matcher: Callable[..., dict[str, object]]


class OutputNetwork(nn.Module, ABC):
    """A network that evaluation asks for named tensors."""

    @abstractmethod
    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 0..255 or float 0..1 [B, 3, H, W] -> features [B, D] or logits [B, K] by name, float32."""


class ClassNetwork(OutputNetwork):
    """A network that names classes; `answer` is the one of its outputs that is its prediction.

    `size` is the side in pixels that it is made for, `classes` the number of its classes.
    """

    answer: str
    classes: int
    size: int

    @property
    @abstractmethod
    def backbone(self) -> nn.Module:
        """The network inside, as timm made it."""

    @abstractmethod
    def describe(self) -> Description:
        """What rebuilds the network."""


def create_network(arch: str, **options: object) -> TimmNetwork:
    """timm's network of that name; `options` are those of timm.create_model, which promises a module and no more."""
    return cast("Callable[..., TimmNetwork]", timm.create_model)(arch, **options)


def find_config(arch: str) -> PretrainedCfg:
    """What timm knows of the published weights of a network that it has."""
    config = timm.models.get_pretrained_cfg(arch)
    assert config is not None, f"timm knows nothing of {arch}"
    return config
