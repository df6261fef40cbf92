"""Prototypes without class names: a feature space, k-means centroids in it, and a temperature for their softmax.

Everything is float32 and a function of the features and the seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

MAX_DIM = 512
FLAT = 1e-10  # share of the largest variance below which a direction counts as none
FLOOR = 0.1  # share of the mean variance that is added to every direction's before it is evened out
COLDEST, HOTTEST = 1e-5, 1e3  # the range in which a temperature is looked for


@dataclass(frozen=True)
class Space:
    """A centred, reduced feature space: `mean` [F] and `components` [D, F], rows by falling variance.

    Rows are orthogonal, each as long as its direction weighs, times the weight of its part in every column (see
    `fit_space`).
    """

    mean: Tensor
    components: Tensor

    @property
    def dim(self) -> int:
        """The number of coordinates, D."""
        return self.components.shape[0]

    def project(self, features: Tensor) -> Tensor:
        """Features [..., F] -> unit rows [..., D], float32."""
        mean, components = self.mean.to(features.device), self.components.to(features.device)
        return F.normalize((features.float() - mean) @ components.T, dim=-1)

    def to(self, device: str | torch.device) -> Space:
        """The same space on another device."""
        return Space(self.mean.to(device), self.components.to(device))

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps; `Space(**state)` is the way back."""
        return {"mean": self.mean, "components": self.components}


def fit_space(
    features: Tensor, dim: int | None = None, *, parts: Sequence[int] = (), whiten: float = 0.0
) -> Space:
    """Centre and PCA of features [N, F]; `dim` None means min(512, N - 1, F), less where that many do not vary.

    `whiten` evens out the variances v of the directions, each weighing (v + v_mean / 10) ^ (-whiten / 2): 0 leaves
    them, 1 makes all alike; what few directions share (the pose, the scene) no longer drowns what tells look-alikes
    apart.

    `parts` are the widths of the features of an ensemble's members: each part is centred and divided by its mean norm
    first, so that every member has a say whatever its scale. Signs are fixed (largest entry of a component is
    positive), so the space does not depend on the solver. Raises ValueError when `dim` directions do not exist.
    """
    count, width = features.shape
    most, asked = min(count - 1, width), dim
    dim = min(MAX_DIM, most) if dim is None else dim
    if not 1 <= dim <= most:
        raise ValueError(f"{count} features of width {width} span at most {max(most, 0)} directions, {dim} were asked")
    exact = features.double()
    mean = exact.mean(0)
    scale = balance(exact - mean, parts)
    centred = (exact - mean) * scale
    directions = _principal_directions(centred, dim)
    if len(directions) < (asked or 1):
        raise ValueError(f"the features vary in {len(directions)} directions only, {asked or 1} were asked for; "
                         "are most of the images duplicates?")
    signs = directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()
    weights = weigh_directions((centred @ directions.T).square().mean(0), whiten) if whiten else torch.ones_like(signs)
    return Space(mean.float(), (directions * signs * weights.view(-1, 1) * scale).float())


def weigh_directions(variances: Tensor, whiten: float) -> Tensor:
    """What evens out directions of these variances [D]: see `fit_space`; the mean is over the directions kept."""
    return (variances + FLOOR * variances.mean()).pow(-whiten / 2)


def kmeans_prototypes(features: Tensor, count: int, seed: int = 0) -> Tensor:
    """k-means centroids of unit rows [N, D] as unit rows [count, D], float32.

    Raises ValueError when there are fewer images than prototypes.
    """
    if not 1 <= count <= len(features):
        raise ValueError(f"{count} prototypes asked of {len(features)} images; give 1 to {len(features)}")
    model = KMeans(count, n_init=1, max_iter=50, random_state=seed, algorithm="lloyd")
    centres = model.fit(features.float().cpu().numpy()).cluster_centers_
    return F.normalize(torch.from_numpy(centres).float(), dim=1).to(features.device)


def default_prototype_count(images: int) -> int:
    """An eighth of the images, within 16 and 1024, and never more than there are."""
    return min(max(16, min(images // 8, 1024)), images)


def mean_entropy(features: Tensor, prototypes: Tensor, temperature: float) -> float:
    """Mean over rows of the entropy of softmax(features prototypes^T / temperature), divided by log M: in [0, 1]."""
    logits = (chunk.double() @ prototypes.double().T / temperature for chunk in features.split(4096))
    entropies = [torch.special.entr(one.softmax(dim=1)).sum(dim=1) for one in logits]
    return float(torch.cat(entropies).mean() / math.log(len(prototypes)))


def temperature_for_entropy(
    features: Tensor, prototypes: Tensor, target: float = 0.5, *, tolerance: float = 1e-4
) -> float:
    """The temperature at which `mean_entropy` of unit rows [N, D] to prototypes [M, D] is `target`, by bisection.

    Entropy grows with temperature, so the answer is unique. Raises ValueError when no temperature reaches the target.
    """
    if len(prototypes) < 2:
        raise ValueError("a temperature needs at least 2 prototypes: the entropy over one is always 0")
    low, high = math.log(COLDEST), math.log(HOTTEST)
    reachable = [mean_entropy(features, prototypes, math.exp(end)) for end in (low, high)]
    if not reachable[0] <= target <= reachable[1]:
        raise ValueError(
            f"no temperature gives a mean normalised entropy of {target}: it runs from {reachable[0]:.4f} to "
            f"{reachable[1]:.4f} here. Set --target-entropy in between, or check for duplicate images or prototypes"
        )
    for _ in range(60):  # scipy's bisect ends by how near the temperatures are, not the entropies
        middle = (low + high) / 2
        reached = mean_entropy(features, prototypes, math.exp(middle))
        if abs(reached - target) < tolerance:
            break
        low, high = (middle, high) if reached < target else (low, middle)
    return math.exp(middle)


def balance(centred: Tensor, parts: Sequence[int]) -> Tensor:
    """For centred features [N, F]: a factor per column [F] that gives every part a mean norm of 1.

    Ones when there are fewer than two parts.
    """
    if len(parts) < 2:
        return torch.ones_like(centred[0])
    if sum(parts) != centred.shape[1]:
        raise ValueError(f"parts of widths {list(parts)} do not add up to features of width {centred.shape[1]}")
    norms = [part.norm(dim=1).mean().clamp_min(1e-12) for part in centred.split(list(parts), dim=1)]
    return torch.cat([(1 / norm).expand(width) for norm, width in zip(norms, parts, strict=True)])


def _principal_directions(centred: Tensor, dim: int) -> Tensor:
    """Top eigenvectors [at most dim, F] of the covariance that have variance, through the smaller Gram matrix."""
    count, width = centred.shape
    values, vectors = torch.linalg.eigh(centred.T @ centred if width <= count else centred @ centred.T)
    # Duplicate images leave directions without variance, whose vectors would be nothing but rounding.
    real = int((values > FLAT * values[-1].clamp_min(torch.finfo(values.dtype).tiny)).sum())
    rows = vectors.flip(1)[:, : min(dim, real)].T
    return rows.contiguous() if width <= count else F.normalize(rows @ centred, dim=1)
