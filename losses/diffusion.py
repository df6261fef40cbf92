"""Online batch diffusion (OBDP, arXiv 2211.07566): a teacher's similarities walk over the batch's own graph.

The target of PSD, Y = softmax(S / tau), is spread by a random walk with restart, F <- w P F + (1 - w) Y, whose fixed
point is found by one linear solve. Everything is at least float32, under autocast too, and without gradient.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from losses.relational import in_single, relation_target

Normalisation = Literal["softmax", "symmetric", "uniform"]
NORMALISATIONS: tuple[Normalisation, ...] = ("softmax", "symmetric", "uniform")


@torch.no_grad()
def diffused_target(
    similarity: Tensor,
    *,
    weight: float,
    temperature: float = 1.0,
    walk_temperature: float = 1.0,
    normalisation: Normalisation = "softmax",
) -> Tensor:
    """The target rows of a teacher's similarities: [B, B] -> probabilities [B, B]; `weight` w is in [0, 1).

    "softmax" diffuses the target over P = softmax(S / walk_temperature) with a zero diagonal, as the public code does;
    "symmetric" diffuses S over D^-1/2 A D^-1/2 before the softmax, as the paper writes; "uniform" is an ablation that
    mixes each target with the mean target, which is what a P without structure would do.
    Raises ValueError for another normalisation or a weight outside of [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"a diffusion weight of {weight} has no fixed point; it lies in [0, 1)")
    with torch.autocast(similarity.device.type, enabled=False):
        similarity = in_single(similarity)
        if normalisation == "softmax":
            walk = transition_matrix(similarity, walk_temperature)
            return diffuse(walk, relation_target(similarity, temperature), weight)
        if normalisation == "symmetric":
            return relation_target(diffuse(symmetric_affinity(similarity), similarity, weight), temperature)
        if normalisation == "uniform":
            return smooth_uniformly(relation_target(similarity, temperature), weight)
    raise ValueError(f"no normalisation {normalisation!r}; there are {', '.join(NORMALISATIONS)}")


def diffuse(walk: Tensor, start: Tensor, weight: float) -> Tensor:
    """(1 - w) (I - w P)^-1 Y by a linear solve: [B, B] twice -> [B, B], the fixed point of F <- w P F + (1 - w) Y."""
    identity = torch.eye(len(walk), dtype=walk.dtype, device=walk.device)
    return torch.linalg.solve(identity - weight * walk, (1 - weight) * start)


def transition_matrix(similarity: Tensor, temperature: float = 1.0) -> Tensor:
    """Row-stochastic softmax(S / tau) with a zero diagonal: [B, B] -> [B, B]. An image alone stays where it is."""
    if len(similarity) == 1:
        return torch.ones_like(similarity)
    alone = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    return (similarity / temperature).masked_fill(alone, -torch.inf).softmax(dim=1)


def symmetric_affinity(similarity: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2 of the non-negative similarities without diagonal: [B, B] -> [B, B].

    Negative similarities are cut off, since a negative degree has no root.
    """
    affinity = similarity.clamp_min(0).fill_diagonal_(0)
    scale = (affinity.sum(dim=1) + 1e-12).rsqrt()
    return scale[:, None] * affinity * scale[None, :]


def smooth_uniformly(target: Tensor, weight: float) -> Tensor:
    """(1 - w) Y + w mean(Y): each row mixed with the mean row, [B, B] -> [B, B]."""
    return torch.lerp(target, target.mean(dim=0, keepdim=True).expand_as(target), weight)


def row_entropy(target: Tensor) -> Tensor:
    """Entropy of each row over log B, in [0, 1]: probabilities [B, B] -> [B]; 1 says that the target is uniform."""
    return torch.special.entr(target).sum(dim=1) / torch.tensor(float(max(target.shape[1], 2))).log()
