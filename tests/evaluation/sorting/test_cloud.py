"""Pictures as points: neighbours, smoothing and directions against dense formulas, and what is like nothing else."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting.cloud import ODD, find_nearest_others, rate_oddness, reduce, smooth_embeddings, survey


def test_neighbours_are_those_of_the_whole_matrix() -> None:
    embeddings = normalise_embeddings(torch.randn(300, 20))
    near, cosine = find_nearest_others(embeddings, 6)
    scores = (embeddings @ embeddings.T).fill_diagonal_(-torch.inf)
    best = scores.topk(6, dim=1)
    assert torch.equal(near, best.indices) and torch.allclose(cosine, best.values, atol=1e-6)
    assert find_nearest_others(embeddings[:3], 6)[0].shape == (3, 2)


def test_smoothing_is_the_dense_formula() -> None:
    embeddings = normalise_embeddings(torch.randn(30, 6))
    near, cosine = find_nearest_others(embeddings, 4)
    graph = torch.zeros(30, 30, dtype=torch.double)
    graph.scatter_(1, near, ((cosine - 1) / 0.1).exp().double())
    graph = graph + graph.T
    scale = graph.sum(dim=1).rsqrt()
    moved = start = embeddings.double()
    for _ in range(3):
        moved = 0.2 * start + 0.8 * (scale[:, None] * graph * scale) @ moved
    assert torch.allclose(smooth_embeddings(embeddings, near, cosine, steps=3), F.normalize(moved, dim=1).float(), atol=1e-5)


def test_whitened_directions_have_equal_variance_before_their_norm() -> None:
    embeddings = normalise_embeddings(torch.randn(50, 10) * torch.arange(1, 11))
    assert reduce(embeddings, 4).shape == (50, 4)
    assert torch.allclose(reduce(embeddings, 4, whiten=True).norm(dim=1), torch.ones(50))
    line = torch.tensor([[1.0, 2.0]]) * torch.arange(6.0)[:, None]  # one direction only, although two are asked
    assert reduce(line, 2, whiten=True).shape == (6, 1)


def test_a_stranger_is_odd_and_nobody_else() -> None:
    points = 1 + 0.2 * torch.rand(60, 12)
    points[17] = torch.tensor([3.0, -1] * 6)
    odd = rate_oddness(points)
    assert odd.argmax() == 17 and odd[17] > ODD and int((odd > ODD).sum()) == 1
    assert torch.isfinite(rate_oddness(torch.ones(9, 4))).all()


def test_a_cloud_holds_the_neighbours_that_smooth_it() -> None:
    embeddings = normalise_embeddings(torch.randn(30, 8))
    cloud = survey(embeddings)
    assert cloud.near.shape == cloud.cosine.shape == (30, 10) and survey(embeddings[:5]).near.shape == (5, 4)
    assert torch.allclose((embeddings[:, None] * embeddings[cloud.near]).sum(dim=2), cloud.cosine, atol=1e-6)
    assert torch.equal(smooth_embeddings(cloud.reduced, cloud.near, cloud.cosine), cloud.smooth)
