"""Every number that follows from the ranks of a query's relevant images, each a function of its formula's name.

r_1 < ... < r_P are the 1-based ranks of the P relevant images (the query itself is neither ranked nor counted), and
prec_k = k / r_k is the precision at the k-th of them. docs/metrics.md says which public code prints which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

ABSENT = torch.iinfo(torch.long).max
DEPTHS = (1, 2, 4, 5, 8, 10, 100, 1000)  # the K of recall_at_K
LIMIT = 1023  # "mAP_lim": what old faiss could return on a GPU, less the query


@dataclass(frozen=True)
class Ranks:
    """What a metric is made of, for a chunk of b queries.

    `ranks` int64 [b, P] of the relevant images, ascending, ABSENT where a query has fewer than P; `precision` float64
    [b, P] at each of them, 0 where absent; `relevant` float64 [b], how many a query has, NaN for none.
    """

    ranks: Tensor
    precision: Tensor
    relevant: Tensor

    @classmethod
    def of(cls, ranks: Tensor) -> Ranks:
        """From ascending ranks int64 [b, P]."""
        present = (ranks < ABSENT).double()
        hits = torch.arange(1, ranks.shape[1] + 1, device=ranks.device, dtype=torch.float64)
        relevant = present.sum(dim=1)
        return cls(ranks, present * hits / ranks, relevant.masked_fill(relevant == 0, torch.nan))

    @property
    def own_class(self) -> Tensor:
        """The size of the query's class with the query itself, by which some public code divides."""
        return self.relevant + 1

    def within(self, depth: Tensor | int) -> Tensor:
        """1.0 for ranks up to `depth`, one for all or one a query [b]: float64 [b, P]."""
        return (self.ranks <= (depth[:, None] if isinstance(depth, Tensor) else depth)).double()

    def count(self, depth: Tensor | int) -> Tensor:
        """How many relevant images have a rank up to `depth`: [b]."""
        return self.within(depth).sum(dim=1)

    def add_up(self, depth: Tensor | int) -> Tensor:
        """The sum of the precisions at ranks up to `depth`: [b]."""
        return (self.precision * self.within(depth)).sum(dim=1)


Metric = Callable[[Ranks], Tensor]  # -> float64 [b]


def recall_at(depth: int, found: Ranks) -> Tensor:
    """1 where a relevant image is among the first `depth`."""
    return (found.ranks[:, 0] <= depth).double()


def average_precision(found: Ranks) -> Tensor:
    """The mean precision over all relevant images."""
    return found.precision.sum(dim=1) / found.relevant


def map_at_r(found: Ranks) -> Tensor:
    """The precisions up to rank P, over P (arXiv 2003.08505)."""
    return found.add_up(found.relevant) / found.relevant


def map_at(depth: int, found: Ranks) -> Tensor:
    """The precisions up to rank `depth`, over all relevant images."""
    return found.add_up(depth) / found.relevant


def map_at_100_hits(found: Ranks) -> Tensor:
    """The precisions up to rank 100, over the relevant images that were found there."""
    return found.add_up(100) / found.count(100).clamp(min=1)


def map_c_legacy(found: Ranks) -> Tensor:
    """mAP@C: up to and over the size of the class, the query counted."""
    return found.add_up(found.own_class) / found.own_class


def map_legacy(depth: int, found: Ranks) -> Tensor:
    """The precisions up to rank `depth`, over the size of the class, the query counted."""
    return found.add_up(depth) / found.own_class


def r_precision(found: Ranks) -> Tensor:
    """The share of relevant images among the first P."""
    return found.count(found.relevant) / found.relevant


def reciprocal_rank(found: Ranks) -> Tensor:
    """1 over the first relevant image's rank."""
    return 1 / found.ranks[:, 0].double()


# Every metric by the name that results.jsonl, per_query.csv and RetrievalScores.metrics() have.
METRICS: dict[str, Metric] = {
    **{f"recall_at_{depth}": partial(recall_at, depth) for depth in DEPTHS},
    "map": average_precision,
    "map_at_r": map_at_r,
    "map_at_100": partial(map_at, 100),
    "map_at_1000": partial(map_at, 1000),
    "map_at_100_hits": map_at_100_hits,
    "map_c_legacy": map_c_legacy,
    "map_1000_legacy": partial(map_legacy, 1000),
    "map_lim_legacy": partial(map_legacy, LIMIT),
    "r_precision": r_precision,
    "mrr": reciprocal_rank,
}


def measure_ranks(ranks: Tensor) -> dict[str, Tensor]:
    """METRICS of each query from ascending ranks int64 [b, P], ABSENT where there are fewer: float64 [b] by name.

    A query without relevant images gets NaN everywhere.
    """
    found = Ranks.of(ranks)
    return {name: metric(found).masked_fill(found.relevant.isnan(), torch.nan) for name, metric in METRICS.items()}
