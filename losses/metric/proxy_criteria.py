"""Metric losses that compare images with learnt rows of their classes: proxies, weights, centroids."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ProxyAnchorLoss
from torch import Tensor, nn

from losses.metric.criterion import Criterion, Mined


class ProxyNCA(Criterion):
    """Near the own proxy, far from the others, as the first public code counts it (arXiv 1703.07464).

    mean of |x - p_y|^2 + log sum over other classes of e^(-|x - p_c|^2), with embeddings and proxies of length 3.
    """

    def __init__(self, classes: int, dim: int, lrmulti: float = 50.0) -> None:
        super().__init__()
        self.rate_scale = lrmulti
        self.proxies = nn.Parameter(torch.randn(classes, dim) / 8)

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        distance = 18 * (1 - F.normalize(embeddings, dim=1) @ F.normalize(self.proxies, dim=1).T)
        own = distance.gather(1, labels[:, None])
        others = (-distance).scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1, keepdim=True)
        return (own + others).mean()


class ProxyAnchor(Criterion):
    """Each proxy pulls and pushes the images of a batch (arXiv 2003.13911)."""

    def __init__(
        self, classes: int, dim: int, alpha: float = 32.0, delta: float = 0.1, lrmulti: float = 2000.0
    ) -> None:
        super().__init__()
        self.rate_scale = lrmulti
        self.loss = ProxyAnchorLoss(classes, dim, margin=delta, alpha=alpha)

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        return self.loss(embeddings, labels)


class Softmax(Criterion):
    """Cross entropy of x W^T / temperature with unit rows W (arXiv 1811.12649)."""

    def __init__(self, classes: int, dim: int, rate: float = 1e-5, temperature: float = 0.05) -> None:
        super().__init__()
        self.rate, self.temperature = rate, temperature
        self.weight = nn.Parameter(torch.empty(classes, dim).uniform_(-(dim**-0.5), dim**-0.5))

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        return F.cross_entropy(embeddings @ F.normalize(self.weight, dim=1).T / self.temperature, labels)


class ArcFace(Criterion):
    """Cross entropy of cosines, the own class's angle enlarged by `angular_margin` radians (arXiv 1801.07698).

    Cosines below 0 count as 0, as in the public code of this family.
    """

    def __init__(
        self, classes: int, dim: int, rate: float = 5e-4, angular_margin: float = 0.5, feature_scale: float = 16.0
    ) -> None:
        super().__init__()
        self.rate, self.margin, self.scale = rate, angular_margin, feature_scale
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, dim)))

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        cosines = F.normalize(embeddings, dim=1) @ F.normalize(self.weight, dim=1).T
        cosines = cosines.clamp(1e-10, 1 - 1e-7)  # the angle's slope is infinite at 1
        own = (cosines.gather(1, labels[:, None]).acos() + self.margin).cos()
        return F.cross_entropy(self.scale * cosines.scatter(1, labels[:, None], own), labels)


class SoftTriple(Criterion):
    """Classes with several centroids each (arXiv 1909.05235).

    `scale` is the paper's lambda, `margin_delta` the own class's margin; `reg_weight` weighs how far centroids of one
    class are apart, so that those that are not needed merge.
    """

    def __init__(
        self, classes: int, dim: int, n_centroids: int = 2, margin_delta: float = 0.01, gamma: float = 0.1,
        scale: float = 8.0, reg_weight: float = 0.2, lrmulti: float = 1.0,
    ) -> None:
        super().__init__()
        self.margin, self.gamma, self.scale, self.reg_weight = margin_delta, gamma, scale, reg_weight
        self.rate_scale = lrmulti
        self.centroids = nn.Parameter(F.normalize(torch.randn(classes, n_centroids, dim), dim=2))

    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """See Criterion."""
        centroids = F.normalize(self.centroids, dim=2)
        similarity = torch.einsum("bd,ckd->bck", F.normalize(embeddings, dim=1), centroids)
        relaxed = ((similarity / self.gamma).softmax(dim=2) * similarity).sum(dim=2)
        margin = self.margin * F.one_hot(labels, len(centroids))
        return F.cross_entropy(self.scale * (relaxed - margin), labels) + self.reg_weight * self.spread(centroids)

    def spread(self, centroids: Tensor) -> Tensor:
        """Sum of distances of centroids of one class over C K (K - 1): unit vectors [C, K, D] -> scalar."""
        classes, count, _ = centroids.shape
        if count == 1:
            return centroids.new_zeros(())
        first, second = torch.triu_indices(count, count, 1, device=centroids.device)
        cosines = (centroids[:, first] * centroids[:, second]).sum(dim=2)
        return (2.00001 - 2 * cosines).sqrt().sum() / (classes * count * (count - 1))
