"""What can be said of a feature without labels: its spectrum, its neighbourhoods, and what it makes of two views.

Features [N, D] are centred here wherever they are compared by direction.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.metrics.ranking import take_top
from evaluation.metrics.similarity import self_chunks

NEAREST = 10  # neighbours that are compared
BLOCK = 1024  # rows of a table of cosines at a time
HEAVIEST = 2.0  # t of uniformity


def centre_rows(features: Tensor) -> Tensor:
    """Features [N, D] minus their mean, as unit rows."""
    return F.normalize(features.float() - features.float().mean(dim=0), dim=1)


def name_neighbours(features: Tensor, count: int = NEAREST) -> Tensor:
    """The `count` nearest other images of each, or all, by the cosine of centred features [N, D]: places [N, count]."""
    found, count = [], min(count, len(features) - 1)
    for chunk in self_chunks(centre_rows(features)):
        own = torch.arange(len(chunk.scores), device=chunk.scores.device)
        chunk.scores[own, chunk.start + own] = -torch.inf
        found.append(take_top(chunk.scores, count))
    return torch.cat(found)


def share_neighbours(one: Tensor, other: Tensor) -> Tensor:
    """Of each image, the share of its neighbours [N, k] in one table that are in the other, too: [N]."""
    return (one[:, :, None] == other[:, None, :]).any(dim=2).float().mean(dim=1)


def neighbour_agreement(one: Tensor, other: Tensor, count: int = NEAREST) -> float:
    """The mean share of nearest neighbours that two features [N, D] and [N, E] of the same images have in common."""
    return float(share_neighbours(name_neighbours(one, count), name_neighbours(other, count)).mean())


def spectral_decay(features: Tensor) -> float:
    """alpha of alpha-ReQ (Agrawal et al., NeurIPS 2022): the i-th eigenvalue of the covariance falls as i^-alpha.

    A line through the logarithms of features [N, D], all eigenvalues that are not rounding; good ones are near 1.
    """
    centred = features.double() - features.double().mean(dim=0)
    values = torch.linalg.svdvals(centred).square()
    values = values[values > 1e-10 * values[:1]]
    if len(values) < 2:
        return float("inf")
    x = torch.arange(1, len(values) + 1, device=values.device).double().log()
    y = values.log()
    return -float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


def alignment(one: Tensor, other: Tensor) -> float:
    """Mean squared distance of unit features [N, D] of two views (Wang & Isola, arXiv 2005.10242); lower is better."""
    return float((F.normalize(one.float(), dim=1) - F.normalize(other.float(), dim=1)).square().sum(dim=1).mean())


def uniformity(features: Tensor) -> float:
    """log of the mean of exp(-2 |x - y|^2) over pairs of unit features [N, D] (same paper); lower is more even."""
    rows = F.normalize(features.float(), dim=1)
    total, count = 0.0, len(rows)
    for block in rows.split(BLOCK):
        total += float((-HEAVIEST * (2 - 2 * (block @ rows.T))).exp().double().sum())
    return float(torch.tensor((total - count) / (count * (count - 1))).log())
