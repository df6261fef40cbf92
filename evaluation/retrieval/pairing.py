"""Queries and gallery of a retrieval: one set in which every image queries all others, or two sets apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.metrics.similarity import TILE, Chunk, cross_chunks, self_chunks


@dataclass(frozen=True)
class Pairing:
    """Unit `embeddings` [N, D] with `labels` [N] (-1 = none).

    The first `query_count` of them are the queries, the rest is their gallery; 0 = each queries all others.
    """

    embeddings: Tensor
    labels: Tensor
    query_count: int = 0

    @staticmethod
    def across(queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor) -> Pairing:
        """Unit embeddings [Q, D] as queries, unit embeddings [M, D] as their gallery."""
        return Pairing(torch.cat([queries, gallery]), torch.cat([query_labels, gallery_labels]), len(queries))

    @property
    def among_selves(self) -> bool:
        """Whether queries and gallery are the same images."""
        return self.query_count == 0

    @property
    def query(self) -> slice:
        """Which embeddings are queries."""
        return slice(0, self.query_count or len(self.embeddings))

    @property
    def gallery(self) -> slice:
        """Which embeddings are the gallery."""
        return slice(self.query_count, len(self.embeddings))

    @property
    def most(self) -> int:
        """How many images a query can retrieve."""
        return len(self.embeddings) - (self.query_count or 1)

    def chunks(self, chunk_size: int = TILE) -> Iterator[Chunk]:
        """Cosines [b, M] of `chunk_size` queries at a time with the gallery, each query's own among them."""
        if self.among_selves:
            return self_chunks(self.embeddings, chunk_size)
        return cross_chunks(self.embeddings[self.query], self.embeddings[self.gallery], chunk_size)
