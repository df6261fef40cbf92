"""Attention roll-out: how much of every patch reaches a vision transformer's tokens through all of its blocks.

Abnar and Zuidema 2020, arXiv 2005.00928: attention of a block averaged over its heads, half of it the residual path,
multiplied from the first block to the last. It follows where information can flow, whatever class is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from models.network import TimmNetwork

# How the maps of the tokens are called in tables, by the token's place.
TOKENS = ("rollout_cls", "rollout_dist")


class RollOut:
    """The product of all attention seen so far: `rolled` [B, T, T] float32, row t the mix of inputs that token t is."""

    def __init__(self) -> None:
        self.rolled: Tensor | None = None

    def add(self, attention: Tensor) -> None:
        """Put a block's attention [B, heads, T, T] on top; its rows sum to 1."""
        flow = attention.float().mean(dim=1)
        flow = 0.5 * flow + 0.5 * torch.eye(flow.shape[-1], device=flow.device)
        self.rolled = flow if self.rolled is None else flow @ self.rolled

    def maps(self, network: TimmNetwork) -> dict[str, Tensor]:
        """What the network's class token, and its distillation token, take from the patches: [B, patches] by name.

        Registers have no map.
        """
        names = TOKENS if getattr(network, "dist_token", None) is not None else TOKENS[:1]
        assert self.rolled is not None, "no attention was seen"
        return {name: self.rolled[:, place, network.num_prefix_tokens :] for place, name in enumerate(names)}


def attention_layers(network: nn.Module) -> list[AttentionLayer]:
    """The attention of every block of a plain vision transformer that answers by tokens; [] for other networks."""
    blocks = getattr(network, "blocks", None)
    if not isinstance(blocks, nn.Sequential) or getattr(network, "global_pool", None) != "token":
        return []
    layers = [getattr(block, "attn", None) for block in blocks]
    known = [hasattr(layer, "fused_attn") and isinstance(getattr(layer, "attn_drop", None), nn.Module)
             for layer in layers]
    prefix: int = getattr(network, "num_prefix_tokens", 0)
    if not (known and all(known) and prefix):
        return []
    return cast("list[AttentionLayer]", layers)  # that is what was asked above


class AttentionLayer(nn.Module):
    """timm's attention as far as it is used here. timm's own layers have it; none is made of this class."""

    fused_attn: bool
    attn_drop: nn.Module


@contextmanager
def watch_attention(network: nn.Module) -> Iterator[RollOut]:
    """Roll out the attention of the next forward pass; the network must be in eval mode, and is left as it was.

    Fused kernels never form the attention matrix, so they are off within. Memory: one [B, T, T] matrix.
    """
    layers, rolling = attention_layers(network), RollOut()
    fused = [layer.fused_attn for layer in layers]
    hooks = [layer.attn_drop.register_forward_hook(lambda _layer, _given, out: rolling.add(out)) for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False
        yield rolling
    finally:
        for layer, before in zip(layers, fused):
            layer.fused_attn = before
        for hook in hooks:
            hook.remove()
