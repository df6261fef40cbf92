"""The rationale branch: which positions of a feature map matter (LCR, arXiv 2303.01669)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

_EPSILON = 1e-7


class RationaleBranch(nn.Module):
    """1x1 convolution, batch norm, ReLU, max over channels, min-max: map [B, C, h, w] -> float32 [B, h, w] in [0, 1].

    `normalise` "image" takes minimum and maximum of each image; "batch" of the whole batch, as the public code does in
    training. In evaluation it is always each image's own, so that no descriptor depends on its neighbours.
    """

    def __init__(self, channels: int, width: int = 32, normalise: Literal["image", "batch"] = "image") -> None:
        super().__init__()
        if normalise not in ("image", "batch"):
            raise ValueError(f"normalise must be 'image' or 'batch', not {normalise!r}")
        self.normalise = normalise
        self.conv = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.bn = nn.BatchNorm2d(width)

    @property
    def width(self) -> int:
        """How many patterns compete at each position."""
        return self.conv.out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Attention [B, h, w] of a map [B, C, h, w]."""
        scores = self.bn(self.conv(features)).relu().amax(dim=1)
        return stretch(scores.float(), per_image=self.normalise == "image" or not self.training)


def stretch(scores: Tensor, *, per_image: bool = True) -> Tensor:
    """Min-max to [0, 1] of each map, or of all maps together: [B, h, w] -> [B, h, w]; a flat map becomes 0."""
    axes = (1, 2) if per_image else (0, 1, 2)
    above = scores - scores.amin(dim=axes, keepdim=True)
    return above / (above.amax(dim=axes, keepdim=True) + _EPSILON)


def masked_pool(features: Tensor, attention: Tensor) -> Tensor:
    """Attention-weighted average: map [B, C, h, w], attention [B, h, w] -> float32 [B, C].

    Attention that is zero everywhere tells no position from another: the plain average stands in.
    """
    weights = attention.float().flatten(1)
    mass = weights.sum(dim=1, keepdim=True)
    uniform = torch.full_like(weights, 1 / weights.shape[1])
    weights = torch.where(mass > 0, weights / mass.clamp_min(_EPSILON), uniform)
    return torch.einsum("bcn,bn->bc", features.float().flatten(2), weights)
