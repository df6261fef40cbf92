"""The multi-similarity loss (Wang et al., CVPR 2019, arXiv 1904.06627) with its own mining of pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.relational import batch_similarity, in_single


def multi_similarity(
    similarity: Tensor,
    labels: Tensor,
    *,
    pos_weight: float = 2.0,
    neg_weight: float = 40.0,
    margin: float = 0.1,
    threshold: float = 0.5,
) -> Tensor:
    """Mean over anchors that have informative positives and negatives: [B, B], [B] -> scalar.

    A negative counts when it is nearer than the farthest positive by up to `margin`, a positive when it is farther than
    the nearest negative; the choice carries no gradient. Without any such anchor the loss is 0 with a zero gradient.
    """
    with torch.autocast(similarity.device.type, enabled=False):
        similarity = in_single(similarity)
        positives, negatives = mine_pairs(similarity.detach(), labels, margin)
        pull = soft_plus_sum(-pos_weight * (similarity - threshold), positives) / pos_weight
        push = soft_plus_sum(neg_weight * (similarity - threshold), negatives) / neg_weight
        counted = positives.any(dim=1) & negatives.any(dim=1)
        return ((pull + push) * counted).sum() / counted.sum().clamp_min(1)


def mine_pairs(similarity: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """The informative positives and negatives of each anchor: [B, B], [B] -> two bool [B, B]."""
    positives, negatives = pair_masks(labels)
    farthest = similarity.masked_fill(~positives, torch.inf).amin(dim=1, keepdim=True)
    nearest = similarity.masked_fill(~negatives, -torch.inf).amax(dim=1, keepdim=True)
    return positives & (similarity - margin < nearest), negatives & (similarity + margin > farthest)


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of one class, and pairs of two: [B] -> two bool [B, B]; an image is no pair with itself."""
    same = labels[:, None] == labels[None, :]
    return same.clone().fill_diagonal_(False), ~same


def soft_plus_sum(exponents: Tensor, mask: Tensor) -> Tensor:
    """log(1 + sum of e^x over the masked) of each row, without overflow: [A, B], bool [A, B] -> [A]."""
    chosen = exponents.masked_fill(~mask, -torch.inf)
    return torch.cat([torch.zeros_like(chosen[:, :1]), chosen], dim=1).logsumexp(dim=1)


def multi_similarity_of(embeddings: Tensor, labels: Tensor, **options: float) -> Tensor:
    """The loss of unit vectors: [B, D], [B] -> scalar; options of `multi_similarity`."""
    return multi_similarity(batch_similarity(embeddings), labels, **options)
