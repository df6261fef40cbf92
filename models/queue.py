"""A first-in first-out memory of keys that remembers which image each came from (MoCo, arXiv 1911.05722)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """Buffers `keys` [K, D] unit vectors, `ids` [K] image ids (-1: a random start value), `pointer` [] the oldest slot.

    The start values depend on `seed` alone, so every process holds the same queue as long as all enqueue the same keys.
    Keys are overwritten in place: clone `keys` where a graph still needs them.
    """

    keys: Tensor
    ids: Tensor
    pointer: Tensor

    def __init__(self, dim: int, size: int, seed: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"a key queue needs at least one slot, not {size}")
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("keys", F.normalize(torch.randn(size, dim, generator=generator), dim=1))
        self.register_buffer("ids", torch.full((size,), -1, dtype=torch.long))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return self.keys.shape[0]

    @torch.no_grad()
    def enqueue(self, keys: Tensor, ids: Tensor) -> None:
        """Overwrite the oldest slots: unit keys [B, D], image ids [B]. Wraps around; of B > K keys the last K stay."""
        size, count = len(self), keys.shape[0]
        offsets = torch.arange(max(count - size, 0), count, device=self.keys.device)
        slots = (self.pointer + offsets) % size
        self.keys[slots] = keys[offsets].to(self.keys)
        self.ids[slots] = ids[offsets].to(self.ids)
        self.pointer.copy_((self.pointer + count) % size)

    def filled(self) -> Tensor:
        """Share of slots that hold a real key, in [0, 1]."""
        return (self.ids >= 0).float().mean()
