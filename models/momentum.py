"""Slow copies of a network that is being trained."""

from __future__ import annotations

import copy
from typing import Literal, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def slow_copy(online: Network) -> Network:
    """A deep copy whose parameters never learn: what `update_momentum` moves."""
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
    slow = dict(target.named_parameters())
    torch._foreach_lerp_(list(slow.values()), [source[name] for name in slow], 1 - momentum)
    if buffers == "copy":
        fresh = dict(online.named_buffers())
        for name, buffer in target.named_buffers():
            buffer.copy_(fresh[name])
