"""Pictures as points: principal directions, nearest others, smoothing over their graph, and what is like nothing else.

Pure functions of centred unit features. Nothing here is larger than images x 2048 or, up to 8,192 images, images x
images; everything is repeatable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix, diags
from torch import Tensor

from evaluation.metrics.ranking import leave_self
from evaluation.metrics.similarity import normalise_embeddings, self_chunks
from models.teachers.prototypes import fit_space

DIRECTIONS = 64  # principal directions in which pictures are compared
NEIGHBOURS = 10
ODD = 2.5  # robust standard deviations


@dataclass(frozen=True)
class Cloud:
    """N pictures as points. `embeddings` [N, D] centred unit features, `reduced` [N, d] their principal directions.

    `smooth` [N, d] is `reduced` averaged over the graph of nearest neighbours. All are unit embeddings. `near` and
    `cosine` are the nearest others of each, the nearest first: int64 and float32 [N, min(10, N - 1)].
    """

    embeddings: Tensor
    reduced: Tensor
    smooth: Tensor
    near: Tensor
    cosine: Tensor


def survey(embeddings: Tensor) -> Cloud:
    """What all steps look at, from centred unit embeddings [N, D], N at least 3, on the CPU."""
    reduced = reduce(embeddings, DIRECTIONS)
    near, cosine = find_nearest_others(embeddings, NEIGHBOURS)
    return Cloud(embeddings, reduced, smooth_embeddings(reduced, near, cosine), near, cosine)


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


def build_graph(near: Tensor, cosine: Tensor, temperature: float = 0.1) -> csr_matrix:
    """The symmetric graph [N, N] of nearest others [N, k]: exp((cosine - 1) / temperature), summed over directions."""
    count, degree = near.shape
    strength = ((cosine - 1) / temperature).exp().double().flatten().numpy()
    source = np.repeat(np.arange(count), degree)
    graph = csr_matrix((strength, (source, near.flatten().numpy())), shape=(count, count))
    return graph + graph.T


def smooth_embeddings(
    embeddings: Tensor, near: Tensor, cosine: Tensor, *, weight: float = 0.8, steps: int = 20, temperature: float = 0.1
) -> Tensor:
    """Embeddings [N, d] drawn towards their neighbours', as labels are in label spreading (Zhou et al., NIPS 2003).

    h <- (1 - weight) h_0 + weight S h, with S the symmetrically normalised graph of exp((cosine - 1) / temperature).
    """
    graph = build_graph(near, cosine, temperature)
    scale = diags(1 / np.sqrt(np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12)))
    graph = scale @ graph @ scale
    start = embeddings.double().numpy()
    moved = start
    for _ in range(steps):
        moved = (1 - weight) * start + weight * (graph @ moved)
    return F.normalize(torch.from_numpy(moved).float(), dim=1)


def rate_oddness(features: Tensor, nearest: int = 5) -> Tensor:
    """How far a picture's nearest others are, in robust standard deviations above the median: [N, D] -> [N].

    `features` are not centred: a centred one that is like nothing else lies near the origin, where its direction, and
    with it its neighbours, are left to chance.
    """
    distance = 1 - find_nearest_others(normalise_embeddings(features), nearest)[1].mean(dim=1)
    middle = distance.median()
    deviation = 1.4826 * (distance - middle).abs().median()
    return (distance - middle) / deviation.clamp_min(1e-3)  # equal pictures leave no deviation to measure by
