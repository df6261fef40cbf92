"""Layer-wise learning rates for fine-tuning: the further from the head, the slower (BEiT, arXiv 2106.08254)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from timm.models import group_parameters
from timm.models.convnext import ConvNeXt
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from models.network import ClassNetwork, TimmNetwork

NEVER_DECAYED = ("cls_token", "dist_token", "pos_embed")
VIT_LAYERS = {"stem": r"cls_token|dist_token|reg_token|pos_embed|patch_embed|norm_pre", "blocks": r"blocks\.(\d+)"}


@dataclass(frozen=True)
class LayerIds:
    """The layer of every parameter, 0 at the stem and `count` - 1 at the head."""

    ids: dict[str, int]
    count: int

    def scale(self, name: str, decay: float) -> float:
        """The share of the learning rate that a parameter gets: decay ** (layers above it)."""
        return decay ** (self.count - 1 - self.ids[name])


@dataclass(frozen=True)
class DecayGroup:
    """Parameters with the same share `lr_scale` of the learning rate, and whether their weights decay."""

    names: list[str]
    params: list[nn.Parameter]
    lr_scale: float
    decays: bool


def layer_ids(net: nn.Module) -> LayerIds:
    """The layers of a timm network: its stem, its blocks, and at the top the last norm and the head.

    ConvNeXt has the 14 layers of its authors (three blocks of the third stage are one), a ViT one for each block; other
    networks are cut where timm's `group_matcher` cuts them. Raises ValueError for a network that has none.
    """
    ids = group_parameters(net, _layer_matcher(net), reverse=True)
    return LayerIds({name: ids[name] for name, _ in net.named_parameters()}, max(ids.values()) + 1)


def decay_groups(
    network: ClassNetwork, *, layer_decay: float = 1.0, backbone_lr_scale: float = 1.0, spare_vectors: bool = True
) -> list[DecayGroup]:
    """All that learns in `network`, which has a (timm) network as `backbone`, in groups of equal rate and decay.

    Parameters outside the backbone and the backbone's own class heads learn at the full rate. `spare_vectors` leaves
    vectors, biases, class and distillation tokens and position embeddings without weight decay.
    """
    net = network.backbone
    inside = {id(p): name for name, p in net.named_parameters()}
    layers, heads = layer_ids(net) if layer_decay != 1 else None, classifier_names(net)
    spared = {*NEVER_DECAYED, *getattr(net, "no_weight_decay", set)()}
    groups: dict[tuple[float, bool], DecayGroup] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        own = inside.get(id(parameter))
        if own is None or own.startswith(heads):
            scale = 1.0
        else:
            scale = backbone_lr_scale * (1.0 if layers is None else layers.scale(own, layer_decay))
        decays = not (spare_vectors and (is_vector(name, parameter) or own in spared))
        group = groups.setdefault((scale, decays), DecayGroup([], [], scale, decays))
        group.names.append(name)
        group.params.append(parameter)
    return list(groups.values())


def is_vector(name: str, parameter: nn.Parameter) -> bool:
    """True for what weight decay has no business with: vectors, numbers, biases, tokens, positions."""
    return parameter.ndim <= 1 or name.endswith(".bias") or name.rpartition(".")[2] in NEVER_DECAYED


def classifier_names(net: nn.Module) -> tuple[str, ...]:
    """How the names of a timm network's class heads begin."""
    names = (getattr(net, "pretrained_cfg", None) or {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _layer_matcher(net: nn.Module) -> Mapping[str, object] | Callable[[str], tuple[int, ...]]:
    """What tells timm the layers of a network; raises ValueError for one that has none."""
    # timm's own matcher makes every ConvNeXt block a layer (38 in the base size, not 14), and puts a ViT's last norm
    # into the last block; the published decays (BEiT, ConvNeXt) are of the layers here.
    if isinstance(net, ConvNeXt):
        return _place_in_convnext
    if isinstance(net, VisionTransformer):
        return VIT_LAYERS
    if not hasattr(net, "group_matcher"):
        raise ValueError(f"{type(net).__name__} does not say what its layers are; use a layer decay of 1")
    return cast(TimmNetwork, net).group_matcher(coarse=False)  # asked for above


def _place_in_convnext(name: str) -> tuple[int, ...]:
    """Sorts parameters by layer: the stem, the stages (of the third one three blocks at a time), norm and head."""
    part, *inside = name.split(".")
    if part != "stages":
        return (-1,) if part == "stem" else (4,)
    stage = int(inside[0])
    return stage, int(inside[2]) // 3 if stage == 2 and inside[1] == "blocks" else 0
