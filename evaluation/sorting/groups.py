"""Sorting photographs with few labels or none: groups, typical and odd pictures, which to name first, what follows.

Pure functions of centred unit features. Nothing here is larger than images x 2048 or, up to 8,192 images, images x
images; everything is repeatable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix, diags
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor
from tqdm import tqdm

from evaluation.metrics.ranking import leave_self
from evaluation.metrics.similarity import MOST_HELD, normalise_embeddings, self_chunks
from models.teachers.prototypes import fit_space

DIRECTIONS = 64  # principal directions in which pictures are compared
NEIGHBOURS = 10
JUDGED = 4096  # images on which numbers of groups are compared
JUDGED_DIRECTIONS = 16
CANDIDATES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 64)
TOLERANCE = 0.02  # the fewest groups within this share of the best silhouette are proposed
ODD = 2.5  # robust standard deviations


@dataclass(frozen=True)
class Cloud:
    """N pictures as points. `embeddings` [N, D] centred unit features, `reduced` [N, d] their principal directions.

    `smooth` [N, d] is `reduced` averaged over the graph of nearest neighbours. All are unit embeddings.
    """

    embeddings: Tensor
    reduced: Tensor
    smooth: Tensor


@dataclass(frozen=True)
class GroupEstimate:
    """A proposed number of groups, and the silhouette of every number that was tried."""

    count: int
    silhouettes: dict[int, float]


@dataclass(frozen=True)
class Spread:
    """A class for every picture, int64 [N], and the probability that it is right, float32 [N] (given labels: 1)."""

    labels: Tensor
    confidence: Tensor


def survey(embeddings: Tensor) -> Cloud:
    """What all steps look at, from centred unit embeddings [N, D], N at least 3, on the CPU."""
    reduced = reduce(embeddings, DIRECTIONS)
    return Cloud(embeddings, reduced, smooth_embeddings(reduced, *find_nearest_others(embeddings, NEIGHBOURS)))


def reduce(embeddings: Tensor, directions: int, *, whiten: bool = False) -> Tensor:
    """The first principal coordinates [N, d] as unit vectors, of equal variance if `whiten`; d at most what exists."""
    space = fit_space(embeddings)
    coordinates = (embeddings - space.mean) @ space.components[:directions].T
    return F.normalize(coordinates / coordinates.std(dim=0) if whiten else coordinates, dim=1)


def find_nearest_others(embeddings: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices and cosines of every unit embedding's nearest others: int64 and float32 [N, min(count, N - 1)]."""
    near, cosine = [], []
    for chunk in self_chunks(embeddings):
        best = leave_self(chunk.scores, chunk.start).topk(min(count, len(embeddings) - 1), dim=1)
        near.append(best.indices)
        cosine.append(best.values)
    return torch.cat(near), torch.cat(cosine)


def smooth_embeddings(
    embeddings: Tensor, near: Tensor, cosine: Tensor, *, weight: float = 0.8, steps: int = 20, temperature: float = 0.1
) -> Tensor:
    """Embeddings [N, d] drawn towards their neighbours', as labels are in label spreading (Zhou et al., NIPS 2003).

    h <- (1 - weight) h_0 + weight S h, with S the symmetrically normalised graph of exp((cosine - 1) / temperature).
    """
    count, degree = near.shape
    strength = ((cosine - 1) / temperature).exp().double().flatten().numpy()
    source = np.repeat(np.arange(count), degree)
    graph = csr_matrix((strength, (source, near.flatten().numpy())), shape=(count, count))
    graph = graph + graph.T
    scale = diags(1 / np.sqrt(np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12)))
    graph = scale @ graph @ scale
    start = embeddings.double().numpy()
    moved = start
    for _ in range(steps):
        moved = (1 - weight) * start + weight * (graph @ moved)
    return F.normalize(torch.from_numpy(moved).float(), dim=1)


def group(embeddings: Tensor, count: int, *, starts: int = 10) -> Tensor:
    """k-means in the count - 1 directions that as many groups can span; int64 [N], 0 is the largest group.

    May return fewer groups than asked where pictures are equal.
    """
    if count == 1:
        return torch.zeros(len(embeddings), dtype=torch.long)
    points = reduce(embeddings, max(count - 1, 2), whiten=True).double().numpy()
    distinct = len(np.unique(points.round(6), axis=0))
    found = KMeans(min(count, distinct), n_init=starts, random_state=0).fit_predict(points)
    _, found, sizes = np.unique(found, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return torch.from_numpy(rank[found])


def estimate_groups(reduced: Tensor, *, show: bool = False) -> GroupEstimate:
    """The number of groups in unit embeddings [N, d]: the least whose silhouette is about the best.

    Each candidate is grouped in its own directions and judged in the same few for all; at most 4,096 images (every
    n-th) take part. `show` draws a progress bar.
    """
    some = reduced[:: -(-len(reduced) // JUDGED)]
    common = reduce(some, JUDGED_DIRECTIONS).numpy()
    candidates = [count for count in CANDIDATES if count <= max(2, len(some) // 4)]
    scores = {}
    for count in tqdm(candidates, desc="numbers of groups", disable=not show):
        found = group(some, count, starts=4).numpy()
        scores[count] = float(silhouette_score(common, found)) if found.max() > 0 else -1.0
    best = max(scores.values())
    return GroupEstimate(min(count for count, score in scores.items() if score >= best - TOLERANCE * abs(best)), scores)


def rate_typicality(embeddings: Tensor, groups: Tensor) -> Tensor:
    """Cosine of each unit embedding [N, D] with the mean direction of its group: float32 [N]."""
    sums = torch.zeros(int(groups.max()) + 1, embeddings.shape[1]).index_add_(0, groups, embeddings)
    return (embeddings * F.normalize(sums, dim=1)[groups]).sum(dim=1)


def rate_oddness(features: Tensor, nearest: int = 5) -> Tensor:
    """How far a picture's nearest others are, in robust standard deviations above the median: [N, D] -> [N].

    `features` are not centred: a centred one that is like nothing else lies near the origin, where its direction, and
    with it its neighbours, are left to chance.
    """
    distance = 1 - find_nearest_others(normalise_embeddings(features), nearest)[1].mean(dim=1)
    middle = distance.median()
    deviation = 1.4826 * (distance - middle).abs().median()
    return (distance - middle) / deviation.clamp_min(1e-3)  # equal pictures leave no deviation to measure by


def choose_to_name(embeddings: Tensor, count: int, named: Sequence[int] = ()) -> list[int]:
    """The pictures that stand for most others, best first, given that `named` are known: indices of embeddings [N, d].

    Greedy facility location: each choice adds most to the sum over all pictures of the squared cosine with the closest
    chosen one. Beyond 8,192 images only every n-th is a candidate; all count.
    """
    room = MOST_HELD * MOST_HELD
    candidates = torch.arange(0, len(embeddings), -(-len(embeddings) // max(room // len(embeddings), 1)))
    likeness = (embeddings[candidates] @ embeddings.T).clamp_min(0).square_()
    covered = torch.zeros(len(embeddings))
    for index in named:
        covered = covered.maximum((embeddings @ embeddings[index]).clamp_min(0).square())
    gains = torch.stack([(line - covered).clamp_min(0).sum() for line in likeness])
    gains[torch.isin(candidates, torch.tensor(list(named), dtype=torch.long))] = -torch.inf
    chosen = []
    for _ in range(min(count, int(gains.isfinite().sum()))):
        best = _settle(gains, likeness, covered)
        chosen.append(int(candidates[best]))
        covered = covered.maximum(likeness[best])
        gains[best] = -torch.inf
    return chosen


def _settle(gains: Tensor, likeness: Tensor, covered: Tensor) -> int:
    """The candidate with the largest gain; old gains are upper bounds (they only fall), so few are computed anew."""
    while True:
        best = int(gains.argmax())
        gains[best] = (likeness[best] - covered).clamp_min(0).sum()
        if gains[best] >= gains.max():
            return best


def spread_labels(smooth: Tensor, labels: Tensor) -> Spread:
    """Labels [N] (-1 = unknown) spread to all pictures: logistic regression on [N, d] smoothed over the graph.

    Classes weigh the same whatever the number of their labels. Given labels stay. Raises ValueError without any label.
    """
    known = labels >= 0
    if not known.any():
        raise ValueError("no label is given, so none can be spread")
    guess = torch.full_like(labels, int(labels[known][0]))
    confidence = torch.ones(len(labels))
    if len(labels[known].unique()) > 1:
        model = LogisticRegression(C=100, class_weight="balanced", max_iter=1000)
        chances = model.fit(smooth[known].numpy(), labels[known].numpy()).predict_proba(smooth.numpy())
        guess = torch.from_numpy(model.classes_[chances.argmax(axis=1)])
        confidence = torch.from_numpy(chances.max(axis=1)).float()
    return Spread(torch.where(known, labels, guess), torch.where(known, torch.ones(()), confidence))


def match_accuracy(groups: Tensor, labels: Tensor) -> float:
    """Share of pictures whose group stands for their class, under the best one-to-one matching of groups to classes."""
    table = contingency_matrix(groups, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / len(labels))


def naming_accuracy(smooth: Tensor, labels: Tensor, named: Sequence[int]) -> float:
    """Share of the other pictures that get their class right when the `named` ones are labelled."""
    shown = torch.full_like(labels, -1)
    shown[list(named)] = labels[list(named)]
    rest = shown < 0
    return float((spread_labels(smooth, shown).labels == labels)[rest].double().mean())
