"""Every number that follows from the ranks of a query's relevant images, each named by its formula.

r_1 < ... < r_P are the 1-based ranks of the P relevant images (the query itself is neither ranked nor counted), and
prec_k = k / r_k is the precision at the k-th of them. docs/metrics.md says which public code prints which.
"""

from __future__ import annotations

import torch
from torch import Tensor

ABSENT = torch.iinfo(torch.long).max
DEPTHS = (1, 2, 4, 5, 8, 10, 100, 1000)  # the K of recall_at_K
LIMIT = 1023  # "mAP_lim": what old faiss could return on a GPU, less the query


def measure_ranks(ranks: Tensor) -> dict[str, Tensor]:
    """Metrics of each query from ascending ranks int64 [b, P], ABSENT where there are fewer: float64 [b] by name.

    A query without relevant images gets NaN everywhere.
    """
    present = (ranks < ABSENT).double()
    hits = torch.arange(1, ranks.shape[1] + 1, device=ranks.device, dtype=torch.float64)
    precision = present * hits / ranks
    relevant = present.sum(dim=1)
    relevant = relevant.masked_fill(relevant == 0, torch.nan)
    own_class = relevant + 1  # the class with the query itself, by which some public code divides

    def add_up(depth: Tensor | int) -> Tensor:
        return (precision * _within(ranks, depth)).sum(dim=1)

    found = {
        "map": precision.sum(dim=1) / relevant,
        "map_at_r": add_up(relevant) / relevant,
        "map_at_100": add_up(100) / relevant,
        "map_at_1000": add_up(1000) / relevant,
        "map_at_100_hits": add_up(100) / _within(ranks, 100).sum(dim=1).clamp(min=1) + 0 * relevant,
        "map_c_legacy": add_up(own_class) / own_class,
        "map_1000_legacy": add_up(1000) / own_class,
        "map_lim_legacy": add_up(LIMIT) / own_class,
        "r_precision": _within(ranks, relevant).sum(dim=1) / relevant,
        "mrr": 1 / ranks[:, 0].double() + 0 * relevant,
    }
    recalls = {f"recall_at_{depth}": (ranks[:, 0] <= depth).double() + 0 * relevant for depth in DEPTHS}
    return recalls | found


def _within(ranks: Tensor, depth: Tensor | int) -> Tensor:
    """1.0 for ranks [b, P] up to `depth`, one for all or one a query [b]."""
    return (ranks <= (depth[:, None] if isinstance(depth, Tensor) else depth)).double()
