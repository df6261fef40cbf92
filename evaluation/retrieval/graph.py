"""The neighbour graph that re-ranking walks on: lists of nearest rows, each row first in its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.metrics.ranking import take_top
from evaluation.metrics.similarity import TILE, Chunk, self_chunks


@dataclass(frozen=True)
class Neighbours:
    """`index` int64 [N, k]: the k nearest rows of each, itself first whatever its duplicates; `scores` float32 [N, k].

    `lowest` float32 [N] is each row's lowest cosine with any row.
    """

    index: NDArray[np.int64]
    scores: NDArray[np.float32]
    lowest: NDArray[np.float32]


def find_neighbours(rows: Tensor, k: int, chunk_size: int = TILE) -> Neighbours:
    """Exact neighbours of unit rows [N, D] by cosine, ties to the lower index; k counts the row itself."""
    parts = [near_self(chunk, min(k, len(rows))) for chunk in self_chunks(rows, chunk_size)]
    return Neighbours(*(np.concatenate([getattr(part, name) for part in parts])
                        for name in ("index", "scores", "lowest")))


def near_self(chunk: Chunk, k: int) -> Neighbours:
    """The k nearest of a chunk's rows among all, each itself first."""
    scores, query = chunk.scores, torch.arange(len(chunk.scores), device=chunk.scores.device)
    lowest = scores.amin(dim=1)
    own = scores[query, chunk.start + query]
    scores[query, chunk.start + query] = torch.inf
    index = take_top(scores, k)
    found = scores.gather(1, index)
    found[:, 0] = own
    return Neighbours(index.cpu().numpy(), found.cpu().numpy(), lowest.cpu().numpy())
