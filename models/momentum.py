"""Momentum encoders: copies of a network that follow its parameters by an exponential moving average."""

from __future__ import annotations

import copy
from typing import Literal, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(online: Network) -> Network:
    """A deep copy that takes no gradient: a momentum encoder for `update_momentum`, or a frozen teacher."""
    return copy.deepcopy(online).requires_grad_(False)


@torch.no_grad()
def update_momentum(
    online: nn.Module, target: nn.Module, momentum: float, *, buffers: Literal["keep", "copy"] = "keep"
) -> None:
    """target = momentum * target + (1 - momentum) * online for each parameter; a target may lack parts of `online`.

    `buffers` "keep" leaves batch-norm statistics alone, for a target that runs in train mode and makes its own (MoCo);
    "copy" takes the online ones, for a target that runs in eval mode. Raises KeyError when `online` lacks a parameter.
    """
    source = dict(online.named_parameters())
    moving = dict(target.named_parameters())
    # timm's ModelEmaV3 pairs tensors by their order, takes in batch statistics, and begins all names with "module.".
    get_ema_multi_avg_fn(momentum)(list(moving.values()), [source[name] for name in moving], None)
    if buffers == "copy":
        fresh = dict(online.named_buffers())
        for name, buffer in target.named_buffers():
            buffer.copy_(fresh[name])
