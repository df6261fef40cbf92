"""Backbones: any timm network as a feature map plus global average pooling, with its own input normalisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.arch_names import resolve_arch
from models.network import TimmNetwork, create_network
from models.weights import hub
from models.weights.match import load_weights, match_state
from runtime.errors import WeightsError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Network = TypeVar("Network", bound=nn.Module)
ANY_SIZE_FAMILIES = ("timm.models.vision_transformer", "timm.models.deit")


class Backbone(nn.Module):
    """A timm network without its classifier, from images to its last feature map.

    `arch` timm's name, `num_features` channels of the map, `input_size` pixels of a side it was made for,
    `skips_max_pool` whether a ResNet's max-pool is left out;
    `mean` and `std` [3, 1, 1] are those its published weights expect.
    """

    mean: Tensor
    std: Tensor
    skips_max_pool: bool = False

    def __init__(self, arch: str, *, pretrained: bool = False) -> None:
        super().__init__()
        self.arch = resolve_arch(arch)
        self.net = _create(self.arch, pretrained)
        config = self.net.pretrained_cfg
        self.num_features = self.net.num_features
        self.input_size = config["input_size"][-1]
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(3, 1, 1), persistent=False)
        _freeze_unused(self.net)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 0..255 or float 0..1 [B, 3, H, W] -> the network's type and memory format, standardised."""
        return as_input(images, self.net, self.mean, self.std)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] (see `normalise`) -> last feature map [B, C, h, w]."""
        return as_map(self.net, self.net.forward_features(self.normalise(images)), images)

    def pool(self, feature_map: Tensor) -> Tensor:
        """Global average: [B, C, h, w] -> [B, C]."""
        return feature_map.mean(dim=(2, 3))

    def intermediate(self, images: Tensor, layer: int = -1) -> Tensor:
        """The map of timm's `forward_intermediates()[layer]`, before a classifier's 1x1 expansion: [B, C, h, w]."""
        maps = self.net.forward_intermediates(self.normalise(images), intermediates_only=True)
        if not -len(maps) <= layer < len(maps):
            raise WeightsError(f"--layer {layer}: {self.arch} has {len(maps)} stages, 0 to {len(maps) - 1}; the last "
                               "one is -1 too")
        return maps[layer]

    def skip_max_pool(self) -> None:
        """Leave a ResNet's max-pool out: a map of twice the side at four times the cost. Raises WeightsError."""
        if not isinstance(getattr(self.net, "maxpool", None), nn.MaxPool2d):
            raise WeightsError(f"{self.arch} has no max-pool to leave out; take a ResNet, or --max-pool true")
        self.net.maxpool = nn.Identity()
        self.skips_max_pool = True

    def load(self, state: dict[str, Tensor], *, source: str = "the weights") -> None:
        """Fill the network from tensors under timm's, torchvision's or another known style of names, strictly."""
        self.net.load_state_dict(match_state(state, self.net, source=source))


def build_backbone(arch: str, weights: str | Path = "none", *, device: str | torch.device = "cpu") -> Backbone:
    """A backbone with weights from a path, `package:efficientnet-lite0|1|2`, `hub` or `none` (random).

    Raises WeightsError for an unknown name or weights that do not fit.
    """
    if str(weights) == "hub":
        return download_backbone(lambda: Backbone(arch, pretrained=True), arch).to(device)
    backbone = Backbone(arch)
    if str(weights) != "none":
        load_weights(backbone.net, weights)
    return backbone.to(device)


def build_classifier(arch: str, weights: str | Path) -> nn.Module:
    """The timm network with its classifier: standardised images -> logits. Raises WeightsError."""
    network = create_network(resolve_arch(arch), pretrained=False)
    load_weights(network, weights)
    return network.eval()


def download_backbone(make: Callable[[], Network], arch: str) -> Network:
    """The network that `make` builds with timm's published weights. Raises WeightsError where they cannot be had."""
    arch = resolve_arch(arch)
    return hub.download(make, f"timm's weights of {arch}", "Without network, download the file elsewhere and give its "
                        "path, or use tf_efficientnet_lite0 with package:efficientnet-lite0")


def as_input(images: Tensor, net: nn.Module, mean: Tensor, std: Tensor) -> Tensor:
    """Images [B, 3, H, W] as `standardise` makes them, in the type and memory format of the network's weights."""
    weight = next((p for p in net.parameters() if p.dim() == 4), next(net.parameters()))
    channels_last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    images = standardise(images, mean, std).to(weight.dtype)
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def standardise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 0..255 or float 0..1 [B, 3, H, W] -> float32 (x - mean) / std in one pass; mean and std [3, 1, 1]."""
    full = 255.0 if images.dtype == torch.uint8 else 1.0
    mean, std = mean.float(), std.float()
    return torch.addcmul(-mean / std, images.float(), 1 / (std * full))


def freeze_batch_norm(module: nn.Module) -> int:
    """Keep every batch norm's running statistics as they are, also after `.train()`; weight and bias still learn.

    Returns how many there are. Call it after a conversion to SyncBatchNorm, which would drop it.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    for norm in norms:
        norm.register_forward_pre_hook(_use_running_statistics)
    return len(norms)


def list_learning_norms(module: nn.Module) -> list[str]:
    """Names of the batch norms that look at the batch in training."""
    return [name for name, norm in module.named_modules() if isinstance(norm, _BatchNorm)
            and _use_running_statistics not in norm._forward_pre_hooks.values()]


def _use_running_statistics(norm: nn.Module, _inputs: tuple) -> None:
    norm.training = False


def as_map(net: TimmNetwork, features: Tensor, images: Tensor) -> Tensor:
    """What a timm network's `forward_features` says of the images, as a map [B, C, h, w]; WeightsError for several."""
    if not isinstance(features, Tensor):
        arch = net.pretrained_cfg["architecture"]
        raise WeightsError(f"{arch} has {len(features)} outputs, no single feature map; take another")
    if features.dim() == 3:
        patches = features[:, _count_prefix_tokens(net) :]
        return patches.transpose(1, 2).unflatten(2, _grid(patches.shape[1], images))
    return features if features.shape[1] == net.num_features else features.permute(0, 3, 1, 2)


def _count_prefix_tokens(net: nn.Module) -> int:
    """How many tokens come before the patches; older releases of timm do not say it of every class token."""
    return getattr(net, "num_prefix_tokens", int(getattr(net, "cls_token", None) is not None))


def _grid(tokens: int, images: Tensor) -> tuple[int, int]:
    """Rows and columns of the patches, from their number and the shape of the image."""
    height, width = images.shape[-2:]
    rows = round(math.sqrt(tokens * height / width))
    if rows * (tokens // rows) != tokens:
        raise WeightsError(f"{tokens} tokens of a {height} x {width} image form no grid; take another network or size")
    return rows, tokens // rows


def _create(arch: str, pretrained: bool) -> TimmNetwork:
    family = timm.models.model_entrypoint(arch).__module__
    options = {"dynamic_img_size": True} if family in ANY_SIZE_FAMILIES else {}
    return create_network(arch, pretrained=pretrained, num_classes=0, **options)


def _freeze_unused(net: TimmNetwork) -> None:
    """Layers behind the feature map get no gradient, and DDP refuses parameters that wait for one."""
    heads = ["head", "fc_norm"] + (["conv_head"] if net.head_hidden_size != net.num_features else [])
    for name in heads:
        if isinstance(part := getattr(net, name, None), nn.Module):
            part.requires_grad_(False)
