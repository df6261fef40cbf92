"""How sure a mean over test images and seeds is, and whether two networks differ: a paired percentile bootstrap.

Values are [R, S, M]: R rows (networks), S seeds, M test images; no NaN. One resample draws M images and S seeds with
replacement and serves every row, so that what makes an image hard for all of them cancels in a difference. The images
queried are resampled, the gallery of a retrieval is not. (Efron & Tibshirani, An Introduction to the Bootstrap, 1993.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
HELD = 2_000_000  # numbers of a block of resampling weights: 16 MB

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0: as a difference, it counts."""
        return self.low > 0 or self.high < 0


def resample_means(values: Values, draws: int = DRAWS, seed: int = 0) -> Values:
    """Means of each row [R, S, M] under `draws` resamples of images and seeds: [draws, R].

    The resamples are a function of S, M and `seed`, hence the same for every set of rows. Raises ValueError for values
    of another shape, without images, or with NaN.
    """
    if values.ndim != 3 or not values.size or np.isnan(values).any():
        raise ValueError(f"a bootstrap needs values [rows, seeds, images] without NaN, got {list(values.shape)}")
    # scipy.stats.bootstrap draws along one axis: images, and not seeds with them.
    rows, seeds, images = values.shape
    rng = np.random.default_rng(seed)
    flat = values.astype(np.float64).reshape(rows * seeds, images).T
    means = np.empty((draws, rows))
    block = max(HELD // images, 1)
    for start in range(0, draws, block):
        count = min(block, draws - start)
        by_seed = _draw_weights(rng, count, images) @ flat
        means[start : start + count] = np.einsum(
            "brs,bs->br", by_seed.reshape(count, rows, seeds), _draw_weights(rng, count, seeds))
    return means


def estimate(values: Values, *, draws: int = DRAWS, seed: int = 0, share: float = 0.95) -> list[Estimate]:
    """The mean over seeds and images of each row [R, S, M], with the percentile interval that holds `share`."""
    resampled = resample_means(values, draws, seed)
    low, high = np.quantile(resampled, [(1 - share) / 2, (1 + share) / 2], axis=0)
    means = values.mean(axis=(1, 2))
    return [Estimate(*(float(number) for number in numbers)) for numbers in zip(means, low, high)]


def interval(values: NDArray[np.float64], *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean of one network's scores [M]; NaN entries (skipped queries) are left out."""
    (found,) = estimate(values[~np.isnan(values)][None, None], draws=draws, seed=seed)
    return found.low, found.high


def estimate_paired_differences(
    values: Values, reference: int, *, draws: int = DRAWS, seed: int = 0, share: float = 0.95
) -> list[Estimate]:
    """The paired difference of every row [R, S, M] from row `reference`; that row's own is exactly 0."""
    return estimate(values - values[reference], draws=draws, seed=seed, share=share)


def _draw_weights(rng: np.random.Generator, draws: int, count: int) -> Values:
    """How often each of `count` things is drawn in `count` drawings, as shares: [draws, count], rows sum to 1."""
    return rng.multinomial(count, np.full(count, 1 / count), size=draws) / count
