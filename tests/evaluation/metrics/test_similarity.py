"""Scores of tiles against plain products."""

from __future__ import annotations

import torch

from evaluation.metrics.similarity import TILE, cross_chunks, normalise_embeddings, self_chunks


def test_chunks_cover_every_query_once_and_equal_the_product() -> None:
    embeddings = normalise_embeddings(torch.randn(2 * TILE + 3, 37, generator=torch.Generator().manual_seed(0)))
    whole = torch.cat([chunk.scores for chunk in self_chunks(embeddings)])
    assert torch.allclose(whole, embeddings @ embeddings.T, atol=1e-6)
    assert torch.equal(whole, whole.T)


def test_cross_chunks_give_the_bits_of_self_chunks() -> None:
    embeddings = normalise_embeddings(torch.randn(400, 640, generator=torch.Generator().manual_seed(1)))
    alone = torch.cat([chunk.scores for chunk in self_chunks(embeddings)])
    starts = [chunk.start for chunk in cross_chunks(embeddings[:300], embeddings, chunk_size=1)]
    crossed = torch.cat([chunk.scores for chunk in cross_chunks(embeddings[:300], embeddings, chunk_size=1)])
    assert starts == [0, TILE] and torch.equal(crossed, alone[:300])


def test_zero_rows_stay_zero() -> None:
    assert torch.equal(normalise_embeddings(torch.zeros(2, 4)), torch.zeros(2, 4))
