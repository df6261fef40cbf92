"""Metric losses of whole batches: multi-similarity, n-pair, angular, lifted structure, histogram, Smooth-AP."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from losses.metric.criterion import Criterion, Mined, mean_norm, mean_or_zero
from losses.metric.mining import Tuples, euclid
from losses.metric.multisimilarity import multi_similarity_of, pair_masks, soft_plus_sum


class MultiSimilarity(Criterion):
    """See losses.metric.multisimilarity."""

    def __init__(
        self, pos_weight: float = 2.0, neg_weight: float = 40.0, margin: float = 0.1, thresh: float = 0.5
    ) -> None:
        super().__init__()
        self.options = {"pos_weight": pos_weight, "neg_weight": neg_weight, "margin": margin, "threshold": thresh}

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        return multi_similarity_of(embeddings, labels, **self.options)


class TupleCriterion(Criterion):
    """A loss that needs the positives and negatives of each anchor; `compare` computes it."""

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        assert isinstance(mined, Tuples), "this loss compares anchors with their positives: mine them first"
        return self.compare(embeddings, mined)

    @abstractmethod
    def compare(self, embeddings: Tensor, mined: Tuples) -> Tensor:
        """Embeddings [B, D] and the anchors in them -> scalar."""


class NPair(TupleCriterion):
    """mean log(1 + sum of e^(a n - a p)), one positive against all negatives (Sohn, NIPS 2016).

    Rows are meant without normalisation; `l2` weighs their mean length.
    """

    miners = ("npair",)

    def __init__(self, l2: float = 0.005) -> None:
        super().__init__()
        self.l2 = l2

    def compare(self, embeddings: Tensor, mined: Tuples) -> Tensor:
        """See TupleCriterion."""
        loss = soft_plus_sum(npair_exponents(embeddings, mined), mined.negative)
        return mean_or_zero(loss, embeddings) + self.l2 * mean_norm(embeddings)


class Angular(TupleCriterion):
    """N-pair plus a bound of `alpha` degrees on the angle at the negative (arXiv 1708.01682)."""

    miners = ("npair",)

    def __init__(self, alpha: float = 45.0, npair_ang_weight: float = 2.0, npair_l2: float = 0.005) -> None:
        super().__init__()
        self.alpha, self.weight, self.l2 = alpha, npair_ang_weight, npair_l2

    def compare(self, embeddings: Tensor, mined: Tuples) -> Tensor:
        """See TupleCriterion."""
        rows = torch.nn.functional.normalize(embeddings, dim=1)
        anchor, positive = rows[mined.anchor], rows[mined.positive.byte().argmax(dim=1)]
        slope = math.tan(math.radians(self.alpha)) ** 2
        near = (anchor * positive).sum(dim=1, keepdim=True)
        exponents = 4 * slope * (anchor + positive) @ rows.T - 2 * (1 + slope) * near
        pairs = soft_plus_sum(npair_exponents(embeddings, mined).clamp(-50, 50), mined.negative)
        loss = pairs + self.weight * soft_plus_sum(exponents, mined.negative)
        return mean_or_zero(loss, embeddings) + self.l2 * mean_norm(embeddings)


class Lifted(TupleCriterion):
    """mean relu(log sum of e^d_ap + log sum of e^(neg_margin - d_an)) (arXiv 1511.06452, 1703.07737).

    `l2` weighs the mean length of the embeddings.
    """

    miners = ("lifted",)

    def __init__(self, neg_margin: float = 1.0, l2: float = 0.005) -> None:
        super().__init__()
        self.neg_margin, self.l2 = neg_margin, l2

    def compare(self, embeddings: Tensor, mined: Tuples) -> Tensor:
        """See TupleCriterion. The mean is over the anchors that were mined; the distances are those of the miners."""
        distance = euclid(embeddings)[mined.anchor]
        near = distance.masked_fill(~mined.positive, -torch.inf).logsumexp(dim=1)
        far = (self.neg_margin - distance).masked_fill(~mined.negative, -torch.inf).logsumexp(dim=1)
        return mean_or_zero((near + far).relu(), embeddings) + self.l2 * mean_norm(embeddings)


class Histogram(Criterion):
    """Probability that a pair of one class is less alike than one of two, from soft histograms (arXiv 1611.00822)."""

    def __init__(self, nbins: int = 65) -> None:
        super().__init__()
        self.nbins = nbins

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        similarity = embeddings @ embeddings.T
        positives, negatives = (mask.triu(1) for mask in pair_masks(labels))
        alike, different = (soft_histogram(similarity[mask], self.nbins) for mask in (positives, negatives))
        return (different * alike.cumsum(dim=0)).sum() + 0 * embeddings.sum()


class SmoothAP(Criterion):
    """1 - mean average precision with a sigmoid for each comparison of two ranks (arXiv 2007.12163)."""

    def __init__(self, temperature: float = 0.01) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion. Images without another of their class are no queries."""
        similarity = embeddings @ embeddings.T
        positives, negatives = pair_masks(labels)
        # ahead[i, j, k]: how surely k comes before j in the ranking of query i.
        gaps = (similarity[:, None, :] - similarity[:, :, None]) / self.temperature
        ahead = gaps.clamp(-50, 50).sigmoid() * ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        among = 1 + (ahead * positives[:, None, :]).sum(dim=2)
        below = (ahead * negatives[:, None, :]).sum(dim=2)
        precision = (among / (among + below) * positives).sum(dim=1)[positives.any(dim=1)]
        counts = positives.sum(dim=1)[positives.any(dim=1)]
        return 1 - (precision / counts).mean() if len(counts) else 0 * embeddings.sum()


def npair_exponents(embeddings: Tensor, mined: Tuples) -> Tensor:
    """a n - a p of every anchor and image, p its first positive: [B, D] -> [A, B]."""
    products = embeddings[mined.anchor] @ embeddings.T
    return products - products.gather(1, mined.positive.byte().argmax(dim=1)[:, None])


def soft_histogram(values: Tensor, nodes: int) -> Tensor:
    """Shares of values in [-1, 1] at evenly spaced nodes, each split between its two neighbours: [P] -> [nodes]."""
    place = (values.clamp(-1, 1) + 1) * (nodes - 1) / 2
    low = place.detach().floor().clamp_max(nodes - 2).long()
    high_share = place - low
    empty = values.new_zeros(nodes)
    return empty.index_add(0, low, 1 - high_share).index_add(0, low + 1, high_share) / max(len(values), 1)
