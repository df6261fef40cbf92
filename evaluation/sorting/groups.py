"""Groups of pictures that look alike, how many there are, and how typical a picture is of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor
from tqdm import tqdm

from evaluation.sorting.cloud import reduce

JUDGED = 4096  # images on which numbers of groups are compared
JUDGED_DIRECTIONS = 16
CANDIDATES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 64)
TOLERANCE = 0.02  # the fewest groups within this share of the best silhouette are proposed
SCALES, PEAK = 4, 0.7  # numbers of groups that are proposed at most, and their least share of the best silhouette


@dataclass(frozen=True)
class GroupEstimate:
    """A proposed number of groups, the silhouette of every number that was tried, and the scales that stand out.

    `scales` are at most 4 numbers of groups from coarse to fine, `count` among them: where pictures fall into groups
    of groups, each level is a good answer.
    """

    count: int
    silhouettes: dict[int, float]
    scales: tuple[int, ...]


def group(embeddings: Tensor, count: int, *, starts: int = 10) -> Tensor:
    """k-means in the count - 1 directions that as many groups can span; int64 [N], 0 is the largest group.

    Two groups span one direction, in which unit length leaves nothing but a sign: they are looked for in all. May
    return fewer groups than asked where pictures are equal.
    """
    if count == 1:
        return torch.zeros(len(embeddings), dtype=torch.long)
    points = (embeddings if count == 2 else reduce(embeddings, count - 1, whiten=True)).double().numpy()
    distinct = len(np.unique(points.round(6), axis=0))
    found = KMeans(min(count, distinct), n_init=starts, random_state=0).fit_predict(points)
    _, found, sizes = np.unique(found, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return torch.from_numpy(rank[found])


def estimate_groups(reduced: Tensor, smooth: Tensor | None = None, *, show: bool = False) -> GroupEstimate:
    """The number of groups in unit embeddings [N, d]: the least whose silhouette is about the best.

    Each candidate is grouped in its own directions and judged in the same few for all; at most 4,096 images (every
    n-th) take part. Scales are judged where groups are made: among all directions of the `smooth` rows [N, d], by
    default those of `reduced`. `show` draws a progress bar.
    """
    step = -(-len(reduced) // JUDGED)
    some, fine = reduced[::step], (reduced if smooth is None else smooth)[::step]
    common = reduce(some, JUDGED_DIRECTIONS)
    scores, peaks = {}, {}
    for count in tqdm([count for count in CANDIDATES if count <= max(2, len(some) // 4)], desc="numbers of groups",
                      disable=not show):
        scores[count] = _rate_groups(some, count, common)
        peaks[count] = _rate_groups(fine, count, fine)
    best = max(scores.values())
    count = min(count for count, score in scores.items() if score >= best - TOLERANCE * abs(best))
    return GroupEstimate(count, scores, find_scales(peaks, count))


def find_scales(scores: dict[int, float], count: int) -> tuple[int, ...]:
    """Numbers of groups from coarse to fine, at most 4: `count`, and where the score is above both neighbours'.

    Of several such peaks (0.7 times the best score or more) the coarsest and the finest come first, then the highest.
    """
    tried = sorted(scores)
    ends = [-1.0, *(scores[number] for number in tried), -1.0]
    peaks = [number for number, left, own, right in zip(tried, ends, ends[1:], ends[2:], strict=False)
             if left < own >= right and own >= PEAK * max(ends)]
    wanted = [count, *peaks[:1], *peaks[-1:], *sorted(peaks, key=scores.__getitem__, reverse=True)]
    return tuple(sorted(list(dict.fromkeys(wanted))[:SCALES]))


def _rate_groups(embeddings: Tensor, count: int, judged: Tensor) -> float:
    found = group(embeddings, count, starts=4).numpy()
    return float(silhouette_score(judged.numpy(), found)) if found.max() > 0 else -1.0


def rate_typicality(embeddings: Tensor, groups: Tensor) -> Tensor:
    """Cosine of each unit embedding [N, D] with the mean direction of its group: float32 [N]."""
    sums = torch.zeros(int(groups.max()) + 1, embeddings.shape[1]).index_add_(0, groups, embeddings)
    return (embeddings * F.normalize(sums, dim=1)[groups]).sum(dim=1)


def match_accuracy(groups: Tensor, labels: Tensor) -> float:
    """Share of pictures whose group stands for their class, under the best one-to-one matching of groups to classes."""
    table = contingency_matrix(groups, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / len(labels))
