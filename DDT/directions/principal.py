"""The direction along which descriptors vary most, found in one pass over the images with memory that does not grow.

Deep descriptor transforming (Wei et al., arXiv 1707.06397): the first principal component of all descriptors of a set
tells the common object from everything else; its sign is arbitrary and is fixed here by the descriptors' norms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from torch import Tensor

from runtime.errors import DataError

TINY = 32  # a matrix this small is decomposed at once


@dataclass(frozen=True)
class Direction:
    """Mean and first principal direction of a set of descriptors.

    mean [C], vector [C]: float32, the vector has length 1 and points to the object.
    sign: -1.0 when the eigenvector was turned over, else 1.0. share: its part of the whole variance.
    correlation: between a descriptor's position along the vector and its norm, over the fitting set, in [0, 1].
    count: how many descriptors were seen.
    """

    mean: Tensor
    vector: Tensor
    sign: float
    share: float
    correlation: float
    count: int


class Moments:
    """Count, mean and scatter of descriptors joined with their norms: everything the direction and its sign need.

    The scatter matrix is [C + 1, C + 1]; its last column is the covariance with the norm, so the sign costs no second
    pass. Each batch is centred on its own mean before it is squared and merged in float64 (Chan, Golub and LeVeque),
    so a mean far from the origin loses nothing.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | None = None
        self.scatter: Tensor | None = None

    def update(self, maps: Tensor) -> None:
        """Take in every position of maps [B, C, h, w]."""
        rows = maps.detach().float().flatten(2).transpose(1, 2).flatten(0, 1)
        rows = torch.cat([rows, rows.norm(dim=1, keepdim=True)], dim=1)
        mean = rows.mean(dim=0, dtype=torch.float64)
        centred = (rows - mean).float()
        self._merge(len(rows), mean, (centred.T @ centred).double())

    def join(self, other: Moments) -> None:
        """Take in all that other moments have seen."""
        if other.mean is not None and other.scatter is not None:
            self._merge(other.count, other.mean.clone(), other.scatter.clone())

    def vary(self) -> bool:
        """Whether any two descriptors differ, so that there is a direction."""
        return self.scatter is not None and float(self.scatter.diagonal()[:-1].sum()) > 0

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        """Join the moments of one batch to those of all earlier ones."""
        if self.mean is None or self.scatter is None:
            self.count, self.mean, self.scatter = count, mean, scatter
            return
        total = self.count + count
        shift = mean - self.mean
        self.scatter += scatter
        self.scatter.addr_(shift, shift, alpha=self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def direction(self) -> Direction:
        """The first principal direction, turned so that it grows with the norm; DataError when nothing varies."""
        if self.mean is None or self.scatter is None:
            raise DataError("no descriptors to fit on: the training split is empty")
        mean = self.mean.cpu()
        scatter = self.scatter.cpu().numpy()
        among, with_norm, norm = scatter[:-1, :-1], scatter[:-1, -1], scatter[-1, -1]
        total = float(np.trace(among))
        if not np.isfinite(total) or total <= 0:
            raise DataError(
                f"the descriptors of all {self.count} positions are equal or not finite: there is no direction to fit; "
                "check the weights and the images"
            )
        value, vector = top_eigenvector(among)
        sign = -1.0 if vector @ with_norm < 0 else 1.0
        spread = float(np.sqrt(value * norm))
        correlation = float(abs(vector @ with_norm)) / spread if spread > 0 else 0.0
        turned = torch.from_numpy(sign * vector).float()
        return Direction(mean[:-1].float(), turned, sign, value / total, correlation, self.count)


def top_eigenvector(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    """Largest eigenvalue of a symmetric [C, C] matrix and its unit vector, whose largest entry is positive.

    Lanczos' iteration is as exact as the whole decomposition, at a twentieth of its time for C = 2048.
    """
    start = np.random.default_rng(0).standard_normal(len(matrix))
    try:
        values, vectors = eigsh(matrix, k=1, which="LA", v0=start) if len(matrix) > TINY else eigh(matrix)
    except ArpackNoConvergence:  # several directions vary all but equally
        values, vectors = eigh(matrix)
    vector = vectors[:, -1]
    return float(values[-1]), vector * np.sign(vector[np.abs(vector).argmax()])


def project(maps: Tensor, direction: Direction) -> Tensor:
    """Indicator maps P = (x - mean) . v: [B, C, h, w] in any memory layout -> float32 [B, h, w]."""
    centred = (maps.float() - direction.mean.to(maps.device)[:, None, None]).permute(0, 2, 3, 1)
    rows = centred.flatten(0, 2).contiguous()  # one layout, so that the last bits do not depend on where maps come from
    return (rows @ direction.vector.to(maps.device)).view(centred.shape[:3])
