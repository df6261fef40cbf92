"""Whether another network sorts better: how well each spreads the names that a person has given, to one another."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from desk.standing import NAMED, Standing
from evaluation.metrics.bootstrap import interval
from evaluation.sorting.cloud import Cloud
from evaluation.sorting.spread import spread_labels

FOLDS = 10


def compare_sights(before: Cloud, after: Cloud, standing: Standing) -> dict[str, object]:
    """Shares of the named pictures that get their name from the others, by both networks, and the interval between."""
    named = torch.from_numpy(np.flatnonzero(standing.states == NAMED))
    counts = torch.bincount(standing.labels[named])
    asked = named[counts[standing.labels[named]] > 1]  # no other picture could give the rest their name
    if len(asked) < 2 or len(counts) < 2:
        return {"asked": len(asked)}
    hits = [predict_named(cloud, standing.labels, named, asked) for cloud in (before, after)]
    low, high = interval((hits[1] - hits[0]).numpy())
    numbers = {"before": float(hits[0].mean()), "after": float(hits[1].mean()), "low": low, "high": high}
    return {"asked": len(asked)} | {name: round(number, 6) for name, number in numbers.items()}  # 1e-17 is no gain


def predict_named(cloud: Cloud, labels: Tensor, named: Tensor, asked: Tensor) -> Tensor:
    """1 for each of the `asked` pictures whose name the other `named` ones give it, else 0; float64 [A]."""
    hits = torch.zeros(len(asked), dtype=torch.float64)
    for fold in range(min(FOLDS, len(asked))):
        out = torch.arange(fold, len(asked), min(FOLDS, len(asked)))
        shown = torch.full_like(labels, -1)
        shown[named] = labels[named]
        shown[asked[out]] = -1
        hits[out] = (spread_labels(cloud, shown).labels[asked[out]] == labels[asked[out]]).double()
    return hits
