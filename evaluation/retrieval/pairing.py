"""Queries and gallery of a retrieval: one set in which every image queries all others, or two sets apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.metrics.similarity import TILE, Chunk, cross_chunks, self_chunks


@dataclass(frozen=True)
class Pairing:
    """Unit `rows` [N, D] with `labels` [N] (-1 = none).

    The first `query_count` of them are the queries, the rest is their gallery; 0 = each queries all others.
    """

    rows: Tensor
    labels: Tensor
    query_count: int = 0

    @staticmethod
    def across(queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor) -> Pairing:
        """Unit rows [Q, D] as queries, unit rows [M, D] as their gallery."""
        return Pairing(torch.cat([queries, gallery]), torch.cat([query_labels, gallery_labels]), len(queries))

    @property
    def among_selves(self) -> bool:
        """Whether queries and gallery are the same images."""
        return self.query_count == 0

    @property
    def query(self) -> slice:
        """Which rows are queries."""
        return slice(0, self.query_count or len(self.rows))

    @property
    def gallery(self) -> slice:
        """Which rows are the gallery."""
        return slice(self.query_count, len(self.rows))

    @property
    def most(self) -> int:
        """How many images a query can retrieve."""
        return len(self.rows) - (self.query_count or 1)

    def chunks(self, chunk_size: int = TILE) -> Iterator[Chunk]:
        """Cosines [b, M] of `chunk_size` queries at a time with the gallery, each query's own among them."""
        if self.among_selves:
            return self_chunks(self.rows, chunk_size)
        return cross_chunks(self.rows[self.query], self.rows[self.gallery], chunk_size)
