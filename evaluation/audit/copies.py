"""Photographs that are copies of one another: saved anew, resized, cut a little at the edges, or mirrored.

Two photographs of one species lie as close in a network's features as two versions of one photograph do. So the
features only propose, and small grey pictures decide: their fine detail must coincide, somewhere among all small cuts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from tqdm import tqdm

from evaluation.metrics.ranking import leave_self
from evaluation.metrics.similarity import cross_chunks

SIDE = 32  # pixels of a small picture's side
CUTS = (0.0, 0.06, 0.12, 0.18, 0.24)  # shares of a side that may be missing at either end: where to look first
STEPS = (0.04, 0.02, 0.01)  # how far the best cut is then moved, again and again
PROPOSED = 0.4  # cosine of centred features from which on two pictures are looked at
PROMISING, SAME = 0.4, 0.8  # correlations of fine detail: after the first look, and of copies
AT_ONCE = 256  # pairs whose cuts are held in memory: 81 of 32 x 32 numbers each
FLAT = 0.5  # grey levels: less detail than that is noise
CUT = 0.02  # shares of a side below this are rounding


@dataclass(frozen=True)
class Copies:
    """Pairs of pictures that show the same: int64 [P, 2], the lower index first.

    `likeness` float32 [P] is the correlation of their fine detail; `mirrored` and `cut` bool [P] say how one was made
    of the other.
    """

    pairs: Tensor
    likeness: Tensor
    mirrored: Tensor
    cut: Tensor


@dataclass(frozen=True)
class Fits:
    """For P ordered pairs, how the first is best cut to be the second.

    `likeness` float32 [P], `mirrored` bool [P], `cuts` float32 [P, 4] the shares missing at top, bottom, left
    and right of the first.
    """

    likeness: Tensor
    mirrored: Tensor
    cuts: Tensor


def find_copies(near: Tensor, cosine: Tensor, small: Tensor, *, show: bool = False) -> Copies:
    """The copies among N pictures, from their nearest others [N, k] with cosines and their small grey pictures.

    `small` is uint8 or float [N, SIDE, SIDE], each picture squeezed into a square. Up to about a quarter of a side may
    be missing at either end. `show` draws a progress bar.
    """
    details = sharpen(small)
    pairs = propose_pairs(near, cosine)
    both = torch.cat([pairs, pairs.flip(1)])  # either may be the one that was cut
    fits = look_closely(both, details, look_everywhere(both, details, show))
    likeness, way = fits.likeness.reshape(2, -1).max(dim=0)
    best = torch.arange(len(pairs)) + len(pairs) * way
    kept = likeness >= SAME
    best = best[kept]
    return Copies(pairs[kept], likeness[kept], fits.mirrored[best], fits.cuts[best].amax(dim=1) >= CUT)


def find_like_details(small: Tensor, count: int = 4) -> tuple[Tensor, Tensor]:
    """Indices and correlations [N, 2 count] of pictures with like detail, as they are and mirrored, with no network.

    They find what a network takes for different, but not what was cut. `small` is [N, SIDE, SIDE].
    """
    details = sharpen(F.avg_pool2d(small.float()[:, None], 2)[:, 0])
    plain, mirrored = (_scale(one.flatten(1)) for one in (details, details.flip(2)))
    near, cosine = [], []
    for one, other in zip(cross_chunks(plain, plain), cross_chunks(mirrored, plain)):
        scores = [leave_self(chunk.scores, chunk.start) for chunk in (one, other)]
        best = [score.topk(min(count, len(small) - 1), dim=1) for score in scores]
        near.append(torch.cat([part.indices for part in best], dim=1))
        cosine.append(torch.cat([part.values for part in best], dim=1))
    return torch.cat(near), torch.cat(cosine)


def propose_pairs(near: Tensor, cosine: Tensor, least: float = PROPOSED) -> Tensor:
    """Pairs of neighbours with at least this cosine, each once: [N, k] indices and cosines -> int64 [P, 2]."""
    source = torch.arange(len(near))[:, None].expand_as(near)
    pairs = torch.stack([torch.minimum(source, near), torch.maximum(source, near)], dim=2)[cosine >= least]
    return pairs.unique(dim=0) if len(pairs) else pairs.reshape(0, 2)


def sharpen(small: Tensor) -> Tensor:
    """What a small picture has beyond its own blurred version, [N, S, S] -> float32: broad light and shade go."""
    small = small.float()[:, None]
    blurred = F.avg_pool2d(F.pad(small, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    return (small - blurred)[:, 0]


def look_everywhere(pairs: Tensor, details: Tensor, show: bool = False) -> Fits:
    """The best of all CUTS for ordered pairs [P, 2] of sharpened pictures [N, S, S], as they are and mirrored."""
    ends = torch.cartesian_prod(torch.tensor(CUTS), torch.tensor(CUTS))
    stretch = make_stretches(ends[:, 0], ends[:, 1], details.shape[1])
    turn = pairs[:, 0].argsort(stable=True)
    sources, counts = pairs[turn, 0].unique_consecutive(return_counts=True)
    best, where = torch.zeros(len(pairs)), torch.zeros(len(pairs), dtype=torch.long)
    progress = tqdm(sources.tolist(), desc="comparing pictures", unit="img", disable=not show)
    for source, rows in zip(progress, turn.split(counts.tolist())):
        views = torch.einsum("aij,jk,blk->abil", stretch, details[source], stretch).flatten(2).flatten(0, 1)
        whole = details[pairs[rows, 1]]
        wholes = _scale(torch.stack([whole, whole.flip(2)]).flatten(2))  # [2, rows, S * S]
        scores = (_scale(views) @ wholes.flatten(0, 1).T).reshape(-1, len(rows))  # [cuts * 2, rows]
        best[rows], where[rows] = scores.max(dim=0)
    cut = where // 2
    return Fits(best, where % 2 == 1, torch.cat([ends[cut // len(ends)], ends[cut % len(ends)]], dim=1))


def look_closely(pairs: Tensor, details: Tensor, fits: Fits) -> Fits:
    """The fits of ordered pairs, those that are promising with their cuts moved as long as that is better."""
    for step in STEPS:
        for rows in (fits.likeness >= PROMISING).nonzero().flatten().split(AT_ONCE):
            closer = _look_around(pairs[rows], details, fits.mirrored[rows], fits.cuts[rows], step)
            fits.likeness[rows], fits.cuts[rows] = closer.likeness, closer.cuts
    return fits


def _look_around(pairs: Tensor, details: Tensor, mirrored: Tensor, cuts: Tensor, step: float) -> Fits:
    """The best of 81 cuts of which each side is moved by -step, 0 or step."""
    moves = step * torch.cartesian_prod(torch.tensor([0.0, -1.0, 1.0]), torch.tensor([0.0, -1.0, 1.0]))
    rows = (cuts[:, None, :2] + moves).clamp_min(0)
    columns = (cuts[:, None, 2:] + moves).clamp_min(0)
    high, wide = (make_stretches(ends[..., 0], ends[..., 1], details.shape[1]) for ends in (rows, columns))
    views = torch.einsum("paij,pjk,pblk->pabil", high, details[pairs[:, 0]], wide).flatten(3).flatten(1, 2)
    whole = details[pairs[:, 1]]
    whole = torch.where(mirrored[:, None, None], whole.flip(2), whole).flatten(1)
    best, where = torch.bmm(_scale(views), _scale(whole)[..., None])[..., 0].max(dim=1)
    each = torch.arange(len(pairs))
    found = torch.cat([rows[each, where // len(moves)], columns[each, where % len(moves)]], dim=1)
    return Fits(best, mirrored, found)


def _scale(rows: Tensor) -> Tensor:
    """Rows [..., D] without their mean and of length 1; those of about one value are zero, and like nothing."""
    rows = rows - rows.mean(dim=-1, keepdim=True)
    length = rows.norm(dim=-1, keepdim=True)
    return torch.where(length > FLAT * rows.shape[-1] ** 0.5, rows / length.clamp_min(1e-12), 0.0)


def make_stretches(start: Tensor, end: Tensor, side: int) -> Tensor:
    """Matrices [..., S, S] that stretch what is left of a row of S pixels over S again, interpolating linearly.

    `start` and `end` [...] are the shares of the row that are missing at its ends.
    """
    target = torch.arange(side)
    left = 1 - start - end
    place = start[..., None] * side + (target + 0.5) * left[..., None] - 0.5
    return (1 - (place.clamp(0, side - 1)[..., None] - target).abs()).clamp_min(0)


def join_groups(count: int, pairs: Tensor) -> Tensor:
    """A group number for each of `count` pictures that pairs [P, 2] lead to, from 0 in their order; -1 = alone."""
    ends = pairs.reshape(-1, 2).T.numpy()
    graph = coo_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(count, count))
    found = connected_components(graph, directed=False)[1]
    _, first, inverse, sizes = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    rank = np.full(len(sizes), -1)
    shared = np.flatnonzero(sizes > 1)
    rank[shared[np.argsort(first[shared])]] = np.arange(len(shared))
    return torch.from_numpy(rank[inverse])
