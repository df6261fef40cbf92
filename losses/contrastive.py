"""Instance discrimination against a queue of keys: InfoNCE (arXiv 1807.03748), as in MoCo (arXiv 1911.05722)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrast_logits(query: Tensor, key: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Cosines over the temperature, the positive first: unit vectors [B, D], [B, D], [K, D] -> float32 [B, 1 + K]."""
    query, key, negatives = query.float(), key.float(), negatives.float()
    positive = (query * key).sum(dim=1, keepdim=True)
    return torch.cat([positive, query @ negatives.T], dim=1) / temperature


def info_nce_from_logits(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Cross entropy of the first column: [B, 1 + K] -> [B]. `mask` [B, K] is True where a negative is left out."""
    if mask is not None:
        keep_positive = mask.new_zeros(mask.shape[0], 1)
        logits = logits.masked_fill(torch.cat([keep_positive, mask], dim=1), -torch.inf)
    first = torch.zeros(logits.shape[0], dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, first, reduction="none")


def info_nce(query: Tensor, key: Tensor, negatives: Tensor, temperature: float, mask: Tensor | None = None) -> Tensor:
    """InfoNCE per sample: unit vectors [B, D], [B, D], [K, D] -> float32 [B]; `mask` [B, K] leaves negatives out."""
    return info_nce_from_logits(contrast_logits(query, key, negatives, temperature), mask)


def own_image_mask(ids: Tensor, queue_ids: Tensor) -> Tensor:
    """Where a queued key comes from the sample's own image: [B], [K] (-1 = none) -> bool [B, K]."""
    return ids[:, None] == queue_ids[None, :]


@torch.no_grad()
def self_mass(logits: Tensor, own: Tensor) -> Tensor:
    """Share of the softmax's mass that own-image keys hold when none is left out: [B, 1 + K], bool [B, K] -> [B]."""
    own_logits = logits[:, 1:].masked_fill(~own, -torch.inf)
    return torch.exp(own_logits.logsumexp(dim=1) - logits.logsumexp(dim=1))
