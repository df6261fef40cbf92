"""The plain way to score retrieval: one query at a time, one product, one full argsort, AP rank by rank in Python.

Used by the tests (values) and by the benchmarks (time).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class PlainScores:
    """Means over the queries that have a positive, in [0, 1]; AP and rank of the first hit by query (None: skipped)."""

    rank1: float
    rank5: float
    map: float
    average_precision: list[float | None]
    first_hit: list[int | None]


def retrieve_one_by_one(features: Tensor, labels: Tensor, *, copy_gallery: bool = False) -> PlainScores:
    """Leave-one-out scores of features [N, D] with labels [N], a query at a time.

    `copy_gallery` True takes the query out of the gallery by copying all other rows, as the public LCR code does.
    """
    rank_hits = _ranks_in_copied_gallery if copy_gallery else _ranks_of_hits
    rows = F.normalize(features.float(), dim=1)
    precisions: list[float | None] = []
    firsts: list[int | None] = []
    for query in range(len(rows)):
        ranks = rank_hits(rows, labels, query)
        precisions.append(sum((k + 1) / rank for k, rank in enumerate(ranks)) / len(ranks) if ranks else None)
        firsts.append(ranks[0] if ranks else None)
    asked = [first for first in firsts if first is not None]
    return PlainScores(
        rank1=sum(first <= 1 for first in asked) / len(asked),
        rank5=sum(first <= 5 for first in asked) / len(asked),
        map=sum(value for value in precisions if value is not None) / len(asked),
        average_precision=precisions,
        first_hit=firsts,
    )


def _ranks_of_hits(rows: Tensor, labels: Tensor, query: int) -> list[int]:
    order = (rows @ rows[query]).argsort(descending=True, stable=True).tolist()
    order.remove(query)
    wanted = labels.tolist()
    return [rank for rank, index in enumerate(order, start=1) if wanted[index] == wanted[query]]


def _ranks_in_copied_gallery(rows: Tensor, labels: Tensor, query: int) -> list[int]:
    gallery = torch.cat((rows[:query], rows[query + 1 :]))
    wanted, own = torch.cat((labels[:query], labels[query + 1 :])), int(labels[query])
    order = (gallery @ rows[query]).argsort(descending=True, stable=True)
    return [rank for rank, label in enumerate(wanted[order].tolist(), start=1) if label == own]
