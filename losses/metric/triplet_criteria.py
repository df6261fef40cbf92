"""Metric losses of mined triplets: contrastive, triplet, margin, quadruplet, signal to noise."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from losses.metric.criterion import Criterion, Mined, mean_or_zero
from losses.metric.mining import Triplets, euclid

# The first one is what a loss takes unless told otherwise.
MINERS = ("distance", "rho_distance", "random", "semihard", "softhard")


class TripletCriterion(Criterion):
    """A loss that needs triplets; `compare` computes it."""

    miners = MINERS

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        assert isinstance(mined, Triplets), "this loss compares triplets: mine them first"
        return self.compare(embeddings, labels, mined, generator)

    @abstractmethod
    def compare(
        self, embeddings: Tensor, labels: Tensor, mined: Triplets, generator: torch.Generator | None
    ) -> Tensor:
        """The loss of the mined triplets, see Criterion."""


class Contrastive(TripletCriterion):
    """mean relu(d_ap - pos_margin) + mean relu(neg_margin - d_an) (Hadsell et al., CVPR 2006)."""

    def __init__(self, pos_margin: float = 0.0, neg_margin: float = 1.0) -> None:
        super().__init__()
        self.pos_margin, self.neg_margin = pos_margin, neg_margin

    def compare(
        self, embeddings: Tensor, labels: Tensor, mined: Triplets, generator: torch.Generator | None
    ) -> Tensor:
        """See TripletCriterion. The distances are those that miners look at."""
        distance = euclid(embeddings)
        near = (distance[mined.anchor, mined.positive] - self.pos_margin).relu()
        far = (self.neg_margin - distance[mined.anchor, mined.negative]).relu()
        return mean_or_zero(near, embeddings) + mean_or_zero(far, embeddings)


class Triplet(TripletCriterion):
    """mean relu(d_ap^2 - d_an^2 + margin) (arXiv 1503.03832)."""

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def compare(
        self, embeddings: Tensor, labels: Tensor, mined: Triplets, generator: torch.Generator | None
    ) -> Tensor:
        """See TripletCriterion."""
        anchor = embeddings[mined.anchor]
        near = (anchor - embeddings[mined.positive]).square().sum(dim=1)
        far = (anchor - embeddings[mined.negative]).square().sum(dim=1)
        return mean_or_zero((near - far + self.margin).relu(), embeddings)


class Margin(TripletCriterion):
    """A distance beta of each class between its own images and the others (arXiv 1706.07567).

    The sum of relu(d_ap - beta + m) + relu(beta - d_an + m) over the number of triplets where either is positive.
    `beta_rate` is the learning rate of the betas; `nu` the weight of their sum; `constant` leaves them as they are.
    """

    def __init__(
        self, classes: int, margin: float = 0.2, beta: float = 1.2, beta_rate: float = 5e-4, nu: float = 0.0,
        constant: bool = False,
    ) -> None:
        super().__init__()
        self.margin, self.nu, self.rate = margin, nu, beta_rate
        self.beta = nn.Parameter(torch.full((classes,), beta), requires_grad=not constant)

    def compare(
        self, embeddings: Tensor, labels: Tensor, mined: Triplets, generator: torch.Generator | None
    ) -> Tensor:
        """See TripletCriterion."""
        beta = self.beta[labels[mined.anchor]]
        pull = (pair_distance(embeddings, mined.anchor, mined.positive) - beta + self.margin).relu()
        push = (beta - pair_distance(embeddings, mined.anchor, mined.negative) + self.margin).relu()
        active = ((pull > 0) | (push > 0)).sum().clamp_min(1)
        return (pull + push).sum() / active + self.nu * self.beta.sum() + 0 * embeddings.sum()


class Quadruplet(TripletCriterion):
    """A triplet loss, and one whose far pair are two negatives of different triplets (arXiv 1704.01719)."""

    def __init__(self, margin_alpha_1: float = 0.2, margin_alpha_2: float = 0.2) -> None:
        super().__init__()
        self.first, self.second = margin_alpha_1, margin_alpha_2

    def compare(
        self, embeddings: Tensor, labels: Tensor, mined: Triplets, generator: torch.Generator | None
    ) -> Tensor:
        """See TripletCriterion."""
        from_positive = pair_distance(embeddings, mined.anchor, mined.positive)
        from_negative = pair_distance(embeddings, mined.anchor, mined.negative)
        other, exists = draw_other_negatives(mined.negative, generator)
        between = pair_distance(embeddings, mined.negative, other)
        near = (from_positive - from_negative + self.first).relu()
        far = (from_positive - between + self.second).relu()[exists]
        return mean_or_zero(near, embeddings) + mean_or_zero(far, embeddings)


class SignalToNoise(TripletCriterion):
    """Variance of a difference over that of the anchor, in the place of a distance (arXiv 1904.02616).

    `reg_lambda` weighs how far the numbers of an anchor are from a mean of 0.
    """

    def __init__(self, margin: float = 0.2, reg_lambda: float = 0.005) -> None:
        super().__init__()
        self.margin, self.reg_lambda = margin, reg_lambda

    def compare(
        self, embeddings: Tensor, labels: Tensor, mined: Triplets, generator: torch.Generator | None
    ) -> Tensor:
        """See TripletCriterion."""
        if not len(mined):
            return 0 * embeddings.sum()
        anchor = embeddings[mined.anchor]
        signal = anchor.var(dim=1).clamp_min(1e-12)
        near = (anchor - embeddings[mined.positive]).var(dim=1) / signal
        far = (anchor - embeddings[mined.negative]).var(dim=1) / signal
        above = (near - far + self.margin).relu()
        zero_mean = anchor.sum(dim=1).abs().mean()
        return above.sum() / (above > 0).sum().clamp_min(1) + self.reg_lambda * zero_mean


def pair_distance(embeddings: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distances of pairs with a finite gradient at 0: [B, D], places [T] twice -> [T]."""
    return ((embeddings[first] - embeddings[second]).square().sum(dim=1) + 1e-8).sqrt()


def draw_other_negatives(negative: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """For each mined negative [T] a random one of another triplet that differs, and whether there is one: [T], [T]."""
    differs = negative[:, None] != negative[None, :]
    noise = torch.rand(differs.shape, generator=generator).to(negative.device)
    if not len(negative):
        return negative, differs.any(dim=1)
    return negative[noise.masked_fill(~differs, -1).argmax(dim=1)], differs.any(dim=1)
