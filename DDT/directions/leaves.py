"""Small groups of images that look alike, by what their maps hold on average: no label, and no number to be chosen.

They are leaves: many more than there are kinds of things, so that each holds one kind; `merging.py` joins them.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

BRANCHES = 12  # at most so many groups at first, each of which is halved
MEMORY = 5e8  # bytes that the leaves' scatter matrices may take: 24 of 320 channels take 20 MB, 14 of 2048 take 470 MB
PER_LEAF = 8  # training images that a leaf has on average, at least
LEAST = 5  # a group of fewer images has no centre of its own
STARTS = 4  # of k-means


def pool_maps(maps: Tensor) -> Tensor:
    """Global features: maps [B, C, h, w] in any memory layout -> the means over positions as unit rows [B, C]."""
    rows = maps.detach().float().permute(0, 2, 3, 1).contiguous()  # one layout: last bits are those of kept maps
    return torch.nn.functional.normalize(rows.flatten(1, 2).mean(dim=1), dim=1).cpu()


def find_leaves(pooled: Tensor, wanted: int = 1) -> Tensor:
    """Centres [L, C] of small groups of unit rows [N, C]: k-means, and again within each of its groups.

    The second round splits what a large and varied kind leaves no centres for: thirty cats and dogs among hundreds of
    flowers are one group at first. L is 24 at most, fewer where images are few or channels many; but at least `wanted`
    where there are images for them, and then it may take more than MEMORY.
    """
    rows = pooled.double().numpy()
    room = int(MEMORY / (2 * 8 * (rows.shape[1] + 1) ** 2))
    branches = max(min(BRANCHES, room, len(rows) // PER_LEAF), min(wanted, len(rows) // LEAST), 1)
    centres = split_rows(rows, branches)
    if 2 * branches > max(2 * min(BRANCHES, room), wanted):
        return torch.from_numpy(drop_small(rows, centres)).float()
    members = find_nearest(rows, centres)
    halves = [halve_rows(rows[members == number]) for number in range(branches)]
    return torch.from_numpy(drop_small(rows, np.concatenate(halves))).float()


def halve_rows(rows: np.ndarray) -> np.ndarray:
    """Centres of the two halves of a group, or of all of it where halves would be too small."""
    return split_rows(rows, 2 if len(rows) >= 2 * PER_LEAF else 1)


def split_rows(rows: np.ndarray, count: int) -> np.ndarray:
    """Centres [count, C] of rows by k-means; fewer where fewer rows differ."""
    count = min(count, len(np.unique(rows, axis=0)))
    return KMeans(count, n_init=STARTS, random_state=0).fit(rows).cluster_centers_


def find_nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The index of the nearest centre of every row."""
    return measure_from_centres(rows, centres).argmin(axis=1)


def measure_from_centres(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Euclidean distances [N, L] of rows [N, C] from centres [L, C], a centre at a time: no [N, L, C] is held."""
    return np.stack([np.linalg.norm(rows - centre, axis=1) for centre in centres], axis=1)


def drop_small(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The centres without those of fewer than LEAST rows, the smallest first; one remains at least."""
    while len(centres) > 1:
        sizes = np.bincount(find_nearest(rows, centres), minlength=len(centres))
        if sizes.min() >= LEAST:
            break
        centres = np.delete(centres, sizes.argmin(), axis=0)
    return centres
