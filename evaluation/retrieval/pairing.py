"""Who asks whom: the images of one set all others, or queries a gallery of other images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.metrics.similarity import TILE, Chunk, cross_chunks, self_chunks


@dataclass(frozen=True)
class Pairing:
    """Unit `rows` [N, D] with `labels` [N] (-1 = none): the first `queries` ask the rest; 0 = each asks all others."""

    rows: Tensor
    labels: Tensor
    queries: int = 0

    @staticmethod
    def across(queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor) -> Pairing:
        """Unit rows [Q, D] that ask unit rows [M, D]."""
        return Pairing(torch.cat([queries, gallery]), torch.cat([query_labels, gallery_labels]), len(queries))

    @property
    def among_selves(self) -> bool:
        """Whether queries and gallery are the same images."""
        return self.queries == 0

    @property
    def asking(self) -> slice:
        """Which rows are queries."""
        return slice(0, self.queries or len(self.rows))

    @property
    def answering(self) -> slice:
        """Which rows are the gallery."""
        return slice(self.queries, len(self.rows))

    @property
    def most(self) -> int:
        """How many images a query can be answered with."""
        return len(self.rows) - (self.queries or 1)

    def chunks(self, chunk_size: int = TILE) -> Iterator[Chunk]:
        """Cosines [b, M] of `chunk_size` queries at a time with the gallery, each query's own among them."""
        if self.among_selves:
            return self_chunks(self.rows, chunk_size)
        return cross_chunks(self.rows[self.asking], self.rows[self.answering], chunk_size)
