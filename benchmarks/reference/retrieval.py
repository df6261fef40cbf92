"""The plain way to score retrieval: one query at a time, one product, one full argsort, AP rank by rank in Python.

Used by the tests (values) and by the benchmarks (time).
"""

from __future__ import annotations

from collections.abc import Sequence
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


def retrieve_one_by_one(
    features: Tensor, labels: Tensor, *, copy_gallery: bool = False, queries: Sequence[int] | None = None
) -> PlainScores:
    """Leave-one-out scores of features [N, D] with labels [N], a query at a time; `queries` scores only those.

    `copy_gallery` True takes the query out of the gallery by copying all other rows, as the public LCR code does.
    """
    rank_hits = _ranks_in_copied_gallery if copy_gallery else _ranks_of_hits
    rows, wanted = F.normalize(features.float(), dim=1), labels.tolist()
    precisions: list[float | None] = []
    firsts: list[int | None] = []
    for query in range(len(rows)) if queries is None else queries:
        ranks = rank_hits(rows, wanted, query)
        precisions.append(sum((k + 1) / rank for k, rank in enumerate(ranks)) / len(ranks) if ranks else None)
        firsts.append(ranks[0] if ranks else None)
    scored = [first for first in firsts if first is not None]
    return PlainScores(
        rank1=sum(first <= 1 for first in scored) / len(scored),
        rank5=sum(first <= 5 for first in scored) / len(scored),
        map=sum(value for value in precisions if value is not None) / len(scored),
        average_precision=precisions,
        first_hit=firsts,
    )


def score_gallery(gallery: Tensor, query: Tensor) -> Tensor:
    """Cosines [N] of one unit row [D] with unit rows [N, D]."""
    return gallery @ query


def rank_gallery(scores: Tensor) -> Tensor:
    """Indices [N] from the best score to the worst, ties in order."""
    return scores.argsort(descending=True, stable=True)


def _ranks_of_hits(rows: Tensor, labels: list[int], query: int) -> list[int]:
    order = rank_gallery(score_gallery(rows, rows[query])).tolist()
    order.remove(query)
    return [rank for rank, index in enumerate(order, start=1) if labels[index] == labels[query]]


def _ranks_in_copied_gallery(rows: Tensor, labels: list[int], query: int) -> list[int]:
    gallery = torch.cat((rows[:query], rows[query + 1 :]))
    others = labels[:query] + labels[query + 1 :]
    order = rank_gallery(score_gallery(gallery, rows[query])).tolist()
    return [rank for rank, index in enumerate(order, start=1) if others[index] == labels[query]]
