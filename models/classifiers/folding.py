"""Batch norms folded into the convolutions before them: the same answers from fewer operations, for inference alone."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)
TOLERANCE = 1e-3  # of the largest answer: rounding stays far below, a wrong pairing far above


@torch.no_grad()
def fold_batch_norms(network: Network, images: Tensor) -> Network:
    """A copy in eval mode whose convolutions do the work of the batch norms that directly follow them.

    Both answer `images`: should the answers (a tensor) differ by more than rounding, as they would where the output of
    a convolution is used a second time, the network comes back as it is.
    """
    # torch.fx's `fuse` would find the pairs itself, but it cannot trace TensorFlow's padding or a network that asks for
    # the type of its images, and it leaves timm's BatchNormAct2d alone.
    folded = copy.deepcopy(network).eval()
    expected, pairs = folded(images), pair_norms(folded, images)
    for name, convolution in pairs.items():
        norm, before = folded.get_submodule(name), folded.get_submodule(convolution)
        assert isinstance(norm, nn.BatchNorm2d) and isinstance(before, nn.Conv2d)  # those are watched
        folded.set_submodule(convolution, fuse_conv_bn_eval(before, norm))
        rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
        folded.set_submodule(name, rest)
    return folded if pairs and is_close(folded(images), expected) else network


def pair_norms(network: nn.Module, images: Tensor) -> dict[str, str]:
    """Names of batch norms and of the convolutions whose very output they take, seen while `images` pass."""
    made: list[tuple[str, Tensor]] = []  # holds the tensors, so that no two of them share an identity
    pairs: dict[str, str] = {}
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(lambda _, __, output: made.append((name, output))))
        elif type(module) in (nn.BatchNorm2d, BatchNormAct2d):
            handles.append(module.register_forward_pre_hook(lambda _, inputs: meet(name, inputs[0])))

    def meet(name: str, given: Tensor) -> None:
        for convolution, output in made:
            if output is given:
                pairs[name] = convolution

    for name, module in network.named_modules():
        watch(name, module)
    network(images)
    for handle in handles:
        handle.remove()
    return pairs


def is_close(found: Tensor, expected: Tensor) -> bool:
    """True when no number is off by more than rounding."""
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())
