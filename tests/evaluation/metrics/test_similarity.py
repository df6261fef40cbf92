"""Scores of tiles against plain products."""

from __future__ import annotations

import torch

from evaluation.metrics.similarity import TILE, cross_stripes, normalise_rows, self_stripes


def test_stripes_cover_every_query_once_and_equal_the_product() -> None:
    rows = normalise_rows(torch.randn(2 * TILE + 3, 37, generator=torch.Generator().manual_seed(0)))
    whole = torch.cat([stripe.scores for stripe in self_stripes(rows)])
    assert torch.allclose(whole, rows @ rows.T, atol=1e-6)
    assert torch.equal(whole, whole.T)


def test_cross_stripes_give_the_bits_of_self_stripes() -> None:
    rows = normalise_rows(torch.randn(400, 640, generator=torch.Generator().manual_seed(1)))
    alone = torch.cat([stripe.scores for stripe in self_stripes(rows)])
    starts = [stripe.start for stripe in cross_stripes(rows[:300], rows, block=1)]
    crossed = torch.cat([stripe.scores for stripe in cross_stripes(rows[:300], rows, block=1)])
    assert starts == [0, TILE] and torch.equal(crossed, alone[:300])


def test_zero_rows_stay_zero() -> None:
    assert torch.equal(normalise_rows(torch.zeros(2, 4)), torch.zeros(2, 4))
