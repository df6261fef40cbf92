"""Labels of a few pictures spread to all: the best name of each, and whether it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from evaluation.sorting.cloud import Cloud


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
    """Labels [N] (-1 = not given) spread to all pictures: logistic regression on [N, d] smoothed over the graph.

    Classes weigh the same whatever the number of their labels. Given labels stay. `unknown` are pictures of some other
    kind that cannot be named: they and their likes are unlike. Raises ValueError without any label.
    """
    smooth = points.smooth if isinstance(points, Cloud) else points
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
    unlike = rate_unlike(smooth, labels, unknown)
    confidence = torch.where(known, torch.ones(()), confidence * (1 - unlike))
    marked = torch.zeros(len(labels), dtype=torch.bool)
    marked[list(unknown)] = True
    return Spread(torch.where(known, labels, guess), torch.where(marked, torch.zeros(()), confidence),
                  torch.where(marked, torch.ones(()), torch.where(known, torch.zeros(()), unlike)))


def rate_unlike(smooth: Tensor, labels: Tensor, unknown: Sequence[int]) -> Tensor:
    """The probability of every picture [N] to be like nothing named, from the cosine with its nearest named one.

    It is 0 at the likeness of a picture with itself and 1 at that of different names.
    """
    named = (labels >= 0).nonzero().flatten()
    best = (smooth @ smooth[named].T).amax(dim=1)
    if unknown:
        worst = (smooth @ smooth[list(unknown)].T).amax(dim=1)
        return torch.where(worst > best, torch.ones(()), 1 - best.clamp(0, 1))
    return 1 - best.clamp(0, 1)


def naming_accuracy(points: Cloud | Tensor, labels: Tensor, named: Sequence[int]) -> float:
    """Share of the other pictures that get their class right when the `named` ones are labelled."""
    shown = torch.full_like(labels, -1)
    shown[list(named)] = labels[list(named)]
    rest = shown < 0
    return float((spread_labels(points, shown).labels == labels)[rest].double().mean())
