"""One long strip of all pictures, on which neighbours look alike."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from torch import Tensor

from evaluation.sorting.cloud import Cloud

PIECE = 64  # pictures that are ordered at once; more are halved first
PASSES = 8  # of the two means that halve them

Rows = NDArray[np.float32]
Places = NDArray[np.int64]


def order_by_similarity(cloud: Cloud) -> Tensor:
    """A permutation int64 [N] of the pictures in which neighbours look alike.

    Pictures are halved by two-means again and again, and each pair of halves is laid so that its ends look like what
    lies before and behind. Pieces of at most 64 are the optimally ordered leaves of an average-linkage tree (Bar-Joseph
    et al., Bioinformatics 2001).
    """
    rows = cloud.smooth.numpy()
    pieces: list[Places] = []
    waiting: list[tuple[Places, Rows | None, Rows | None]] = [(np.arange(len(rows)), None, None)]
    while waiting:
        places, before, behind = waiting.pop()
        if len(places) <= PIECE:
            before = rows[pieces[-1][-1]] if pieces else before
            pieces.append(_order_piece(rows, places, before, behind))
            continue
        first, second = _orient(rows, *_halve(rows, places), before, behind)
        waiting.append((second, _mean(rows, first), behind))
        waiting.append((first, before, _mean(rows, second)))
    return torch.from_numpy(np.concatenate(pieces))


def _mean(rows: Rows, places: Places) -> Rows:
    return rows[places].mean(axis=0)


def _halve(rows: Rows, places: Places) -> tuple[Places, Places]:
    """Two-means, started from both ends of the direction of most variance; equal pictures are cut in the middle."""
    points = rows[places] - rows[places].mean(axis=0)
    direction = np.linalg.eigh(points.T @ points)[1][:, -1]
    side = points @ direction > 0
    for _ in range(PASSES):
        if side.all() or not side.any():
            return places[: len(places) // 2], places[len(places) // 2:]
        one, other = points[side].mean(axis=0), points[~side].mean(axis=0)
        moved = points @ (one - other) > (one @ one - other @ other) / 2
        if (moved == side).all():
            break
        side = moved
    if side.all() or not side.any():
        return places[: len(places) // 2], places[len(places) // 2:]
    return places[side], places[~side]


def _orient(
    rows: Rows, first: Places, second: Places, before: Rows | None, behind: Rows | None
) -> tuple[Places, Places]:
    """Both halves in the order in which they look like what lies before and behind."""
    step = _mean(rows, first) - _mean(rows, second)
    fits = (0.0 if before is None else float(before @ step)) - (0.0 if behind is None else float(behind @ step))
    return (first, second) if fits >= 0 else (second, first)


def _order_piece(rows: Rows, places: Places, before: Rows | None, behind: Rows | None) -> Places:
    if len(places) > 2:
        places = places[leaves_list(linkage(rows[places].astype(np.float64), "average", optimal_ordering=True))]
    step = rows[places[0]] - rows[places[-1]]
    fits = (0.0 if before is None else float(before @ step)) - (0.0 if behind is None else float(behind @ step))
    return places if fits >= 0 else places[::-1]
