"""What the plug-in module learns from (PIM, arXiv 2202.03822): the image's label, at many positions or at none."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dropped_loss(logits: Tensor, dropped: Tensor) -> Tensor:
    """Mean of (tanh z + 1)^2 over the classes of dropped positions: [B, S, K], bool [B, S] -> float32 [B].

    The squared distance to -1, "no class at all". A masked sum: kept positions get no gradient, and an image without
    a dropped position has loss 0.
    """
    off = (torch.tanh(logits.float()) + 1).square().mean(dim=2)
    return (off * dropped).sum(dim=1) / dropped.sum(dim=1).clamp_min(1)


def average_positions(logits: Tensor) -> Tensor:
    """A level's own prediction: the mean of its positions' logits, [B, S, K] -> float32 [B, K]."""
    return logits.mean(dim=1, dtype=torch.float32)


def selected_loss(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of kept positions with their image's label: [B, n, K] -> float32 [B].

    `target` are labels [B] or probabilities [B, K]; `smoothing` is for labels.
    """
    images, count, _ = logits.shape
    repeated = target.repeat_interleave(count, dim=0)
    loss = F.cross_entropy(logits.float().flatten(0, 1), repeated, reduction="none", label_smoothing=smoothing)
    return loss.unflatten(0, (images, count)).mean(dim=1)
