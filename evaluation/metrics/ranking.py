"""Ranks in a chunk of scores, exact and with ties to the lower index; nothing is arg-sorted unless a tie demands it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evaluation.metrics.similarity import run_apart

SHARE = 64  # queries that one thread ranks at a time
SORTED_WHOLE = 2**22  # scores whose order is held at a time, 8 bytes each, where ties demand it


def leave_self(scores: Tensor, start: int) -> Tensor:
    """Scores [b, N] of the images `start`, `start + 1`, ... with all N; each one's own becomes -inf, in place."""
    query = torch.arange(len(scores), device=scores.device)
    scores[query, start + query] = -torch.inf
    return scores


def rank_columns(scores: Tensor, columns: Tensor, ignored: Tensor) -> Tensor:
    """1-based ranks int64 [b, P] of the `columns` of each row of scores [b, N]; any number where `ignored`."""
    if scores.device.type != "cpu":  # threads of the host would wait for a GPU once for each share
        return _rank_share(scores, columns, ignored)
    parts = zip(scores.split(SHARE), columns.split(SHARE), ignored.split(SHARE))
    return torch.cat(run_apart(lambda part: _rank_share(*part), parts))


def take_top(scores: Tensor, k: int) -> Tensor:
    """The k best columns of each row of scores [b, N], best first, ties to the lower index: int64 [b, k]."""
    near = scores.topk(min(k + 1, scores.shape[1]), dim=1)  # one more: a tie may lie across the edge
    tied = (near.values[:, 1:] == near.values[:, :-1]).any(dim=1).nonzero().flatten()
    found = near.indices[:, :k].clone()
    for share in tied.split(SHARE):
        found[share] = scores[share].argsort(dim=1, descending=True, stable=True)[:, :k]
    return found


def _rank_share(scores: Tensor, columns: Tensor, ignored: Tensor) -> Tensor:
    count = scores.shape[1]
    values = scores.gather(1, columns).masked_fill_(ignored, torch.inf).contiguous()
    ascending = _sort_rows(scores)
    higher = count - torch.searchsorted(ascending, values, right=True)
    tied = (count - torch.searchsorted(ascending, values) - higher > 1).any(dim=1)
    ranks = higher + 1
    for few in tied.nonzero().flatten().split(max(SORTED_WHOLE // count, 1)):
        ranks[few] = _stable_ranks(scores[few], columns[few])
    return ranks


def _sort_rows(scores: Tensor) -> Tensor:
    """Values of every row, ascending; NumPy's vectorised sort is ten times faster than torch's on a CPU."""
    if scores.device.type == "cpu":
        return torch.from_numpy(np.sort(scores.numpy(), axis=1))
    return scores.sort(dim=1).values


def _stable_ranks(scores: Tensor, columns: Tensor) -> Tensor:
    order = scores.argsort(dim=1, descending=True, stable=True)
    place = torch.empty_like(order)
    place.scatter_(1, order, torch.arange(1, scores.shape[1] + 1, device=scores.device).expand_as(order).contiguous())
    return place.gather(1, columns)
