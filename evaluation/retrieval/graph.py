"""The neighbour graph that re-ranking walks on: lists of nearest embeddings, each first in its own."""

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
    """`index` int64 [N, k]: the k nearest images of each, itself first before duplicates; `scores` float32 [N, k].

    `lowest` float32 [N] is each embedding's lowest cosine with any other.
    """

    index: NDArray[np.int64]
    scores: NDArray[np.float32]
    lowest: NDArray[np.float32]


def find_neighbours(embeddings: Tensor, k: int, chunk_size: int = TILE) -> Neighbours:
    """Exact neighbours of unit embeddings [N, D] by cosine, ties to the lower index; k counts the image itself."""
    parts = [near_self(chunk, min(k, len(embeddings))) for chunk in self_chunks(embeddings, chunk_size)]
    return Neighbours(*(np.concatenate([getattr(part, name) for part in parts])
                        for name in ("index", "scores", "lowest")))


def near_self(chunk: Chunk, k: int) -> Neighbours:
    """The k nearest of a chunk's embeddings among all, each itself first."""
    scores, query = chunk.scores, torch.arange(len(chunk.scores), device=chunk.scores.device)
    lowest = scores.amin(dim=1)
    own = scores[query, chunk.start + query]
    scores[query, chunk.start + query] = torch.inf
    index = take_top(scores, k)
    found = scores.gather(1, index)
    found[:, 0] = own
    return Neighbours(index.cpu().numpy(), found.cpu().numpy(), lowest.cpu().numpy())
