"""Labels of a few pictures spread to all: the best name of each, and whether it can be trusted.

Names are guessed among those given, but a picture may show a kind that nobody has named. What tells is a walk over the
graph of nearest neighbours: does it meet named pictures as soon as it would if its kind had been named as often as
kinds are on average? How much that is worth in this folder is measured by leaving each named picture out.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import diags
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from evaluation.sorting.cloud import NEIGHBOURS, Cloud, build_graph, find_nearest_others

LEAK = 0.1  # probability that a walk ends at a step without having met anything
STEPS = 50
RARELY, OFTEN = -4.0, 2.5  # log-odds between which it counts how much sooner than on average names are met
LEAST_CLEAR, CLEAREST = -2.0, 6.0  # log-odds between which it counts how clear the best name is


@dataclass(frozen=True)
class Weights:
    """What evidence counts, in log-odds; see `weigh_evidence`."""

    base: float
    met: float
    clear: float
    agreement: float


# Fitted to four data sets, their unions and features with noise, a quarter or 10 of 27 kinds withheld, 20 to 100 names;
# each set was judged with the weights that the other ones gave (docs/sort.md).
RIGHT = Weights(base=-3.5, met=0.95, clear=0.36, agreement=0.16)
LIKE = Weights(base=-3.1, met=1.5, clear=0.20, agreement=0.14)


@dataclass(frozen=True)
class Spread:
    """The best name of every picture, int64 [N], and how far to trust it.

    `confidence` float32 [N] is the probability that this name is right, counting that the picture may show a kind that
    nobody has named; given labels have 1. `unlike` float32 [N] is the probability that it is like nothing named.
    """

    labels: Tensor
    confidence: Tensor
    unlike: Tensor


def spread_labels(points: Cloud | Tensor, labels: Tensor, unknown: Sequence[int] = ()) -> Spread:
    """Labels [N] (-1 = not given) spread to all pictures of a cloud, or to smoothed embeddings [N, d] alone.

    Given labels stay. `unknown` are pictures of some other kind that cannot be named: they and their likes are unlike
    what is named. Raises ValueError without any label.
    """
    smooth = points.smooth if isinstance(points, Cloud) else points
    graph = (points.near, points.cosine) if isinstance(points, Cloud) else find_nearest_others(smooth, NEIGHBOURS)
    known, marked = labels >= 0, torch.zeros(len(labels), dtype=torch.bool)
    marked[list(unknown)] = True
    marked &= ~known
    guess, clear = guess_names(smooth, labels)
    met = measure_meeting(*graph, known, marked)
    agreement = measure_agreement(smooth[known], labels[known])
    right, like = (weigh_evidence(weights, met, clear, agreement) for weights in (RIGHT, LIKE))
    confidence = right.masked_fill(known, 1).masked_fill(marked, 0)
    unlike = torch.minimum(1 - like, 1 - right).masked_fill(known, 0).masked_fill(marked, 1)
    return Spread(torch.where(known, labels, guess), confidence, unlike)


def guess_names(smooth: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The best of the given labels [N] for smoothed embeddings [N, d], and its log-odds: int64 and float32 [N].

    Logistic regression in which names weigh the same whatever the number of their pictures; log-odds are 0 where one
    name alone is given. Raises ValueError without any label.
    """
    known = labels >= 0
    if not known.any():
        raise ValueError("no label is given, so none can be spread")
    if len(labels[known].unique()) == 1:
        return torch.full_like(labels, int(labels[known][0])), torch.zeros(len(labels))
    model = LogisticRegression(C=100, class_weight="balanced", max_iter=1000)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")  # one name, one picture
        model.fit(smooth[known].numpy(), labels[known].numpy())
    chances = model.predict_proba(smooth.numpy())
    best = torch.from_numpy(chances.max(axis=1)).float()
    return torch.from_numpy(model.classes_[chances.argmax(axis=1)]), best.logit(eps=1e-6)


def measure_meeting(near: Tensor, cosine: Tensor, known: Tensor, marked: Tensor) -> Tensor:
    """How much sooner than on average a walk from each picture meets a `known` one, in log-odds: float32 [N].

    A walk over the graph of nearest others [N, k] stops at known and at `marked` pictures [N], and leaks at each step
    with probability 0.1. Where a share s of the pictures around is known it ends at one with the odds s / 0.1; these
    odds are compared with those of the share over all pictures. Ends at marked pictures count against.
    """
    graph = build_graph(near, cosine)
    step = diags(1 / np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12)) @ graph
    ends = torch.stack([known, marked], dim=1).double().numpy()
    stops = (known | marked)[:, None].numpy()
    reached = ends
    for _ in range(STEPS):
        reached = np.where(stops, ends, (1 - LEAK) * (step @ reached))
    met, other = torch.from_numpy(reached).float().T
    return (met * met / (met + other).clamp_min(1e-12)).logit(eps=1e-4) - known.float().mean().log()


def measure_agreement(smooth: Tensor, labels: Tensor) -> float:
    """Whether the nearest other named picture has the same name, in log-odds: of [M, d] and [M], 0 = even.

    Only names with two pictures or more can agree, so only they are asked.
    """
    likeness = (smooth @ smooth.T).fill_diagonal_(-torch.inf)
    paired = torch.bincount(labels)[labels] > 1
    agree = int((labels[likeness.argmax(dim=1)] == labels)[paired].sum())
    return float(np.log((agree + 0.5) / (int(paired.sum()) - agree + 0.5)))


def weigh_evidence(weights: Weights, met: Tensor, clear: Tensor, agreement: float) -> Tensor:
    """A probability from `met` and `clear` [N] and `agreement`, all in log-odds: float32 [N].

    base + met x own weight + max(met, 0) x (clear and agreement, by theirs): where names are met more rarely than on
    average, neither a clear name nor agreement counts.
    """
    met, clear = met.clamp(RARELY, OFTEN), clear.clamp(LEAST_CLEAR, CLEAREST)
    rise = met.clamp_min(0) * (weights.clear * clear + weights.agreement * agreement)
    return (weights.base + weights.met * met + rise).sigmoid()
