"""Every re-ranking against a naive version that follows the paper set by set, and loops over everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.flags.parser import Parser, add_options
from evaluation.options import RERANKINGS, RerankOptions
from evaluation.retrieval.diffusion import DiffusionPlan
from evaluation.retrieval.k_reciprocal import ReciprocalPlan
from evaluation.retrieval.pairing import Pairing
from evaluation.retrieval.rerank import Reranking, read_rerank, rerank
from evaluation.retrieval.score import score_chunks
from runtime.errors import ConfigError

LOOSE = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(params=["among selves", "across"])
def pairing(request: pytest.FixtureRequest) -> Pairing:
    """Six loose classes; 54 images, of which 14 query the other 40 when queries and gallery are apart."""
    labels = torch.arange(54) % 6
    embeddings = F.normalize(torch.randn(6, 5)[labels] + 0.9 * torch.randn(54, 5), dim=1)
    embeddings[30] = embeddings[31]  # duplicates
    return Pairing(embeddings, labels, 0 if request.param == "among selves" else 14)


def collect(pairing: Pairing, plan: Reranking, chunk_size: int = 256) -> Tensor:
    """All scores [Q, M]."""
    return torch.cat([chunk.scores.clone() for chunk in rerank(pairing, plan, chunk_size)])


def gallery_of(pairing: Pairing) -> list[int]:
    return list(range(pairing.query_count, len(pairing.embeddings)))


def order_with_self_first(embeddings: np.ndarray) -> list[list[int]]:
    found = []
    for index in range(len(embeddings)):
        scores = (embeddings @ embeddings[index]).round(12)  # copies of a row tie, whatever order a product sums in
        others = (-scores).argsort(kind="stable").tolist()
        others.remove(index)
        found.append([index, *others])
    return found


def naive_expansion(pairing: Pairing, count: int, alpha: float) -> Tensor:
    gallery, expanded = gallery_of(pairing), []
    for query in range(pairing.query_count or len(pairing.embeddings)):
        others = sorted((i for i in gallery if i != query), key=lambda i: -float(pairing.embeddings[i] @ pairing.embeddings[query]))
        total = pairing.embeddings[query].clone()
        for other in others[:count]:
            total += max(float(pairing.embeddings[other] @ pairing.embeddings[query]), 0) ** alpha * pairing.embeddings[other]
        expanded.append(total / total.norm())
    return torch.stack(expanded) @ pairing.embeddings[gallery].T


def test_none_is_the_cosines(pairing: Pairing) -> None:
    plain = pairing.embeddings[pairing.query] @ pairing.embeddings[pairing.gallery].T
    torch.testing.assert_close(collect(pairing, Reranking()), plain)


@pytest.mark.parametrize("how, alpha", [("aqe", 0.0), ("alpha-qe", 3.0), ("alpha-qe", 0.5)])
def test_query_expansion_equals_loops(pairing: Pairing, how: str, alpha: float) -> None:
    plan = Reranking(how, neighbours=4, alpha=alpha)
    torch.testing.assert_close(collect(pairing, plan), naive_expansion(pairing, 4, alpha), **LOOSE)


def naive_reciprocal(embeddings: np.ndarray, k1: int, k2: int, weight: float) -> np.ndarray:
    count, order = len(embeddings), order_with_self_first(embeddings)
    first = 1 - embeddings @ embeddings.T
    first /= first.max(axis=1, keepdims=True)

    def mutual(p: int, k: int) -> set[int]:
        return {g for g in order[p][: k + 1] if p in order[g][: k + 1]}

    codes = np.zeros((count, count))
    for p in range(count):
        members, core = mutual(p, k1), mutual(p, k1)
        for q in core:
            half = mutual(q, round(k1 / 2))
            if len(half & core) >= 2 / 3 * len(half) - 1e-9:
                members |= half
        for g in members:
            codes[p, g] = np.exp(-first[p, g])
        codes[p] /= codes[p].sum()
    codes = np.stack([codes[order[p][:k2]].mean(axis=0) for p in range(count)])
    lower = np.minimum(codes[:, None], codes[None]).sum(axis=2)
    upper = np.maximum(codes[:, None], codes[None]).sum(axis=2)
    return (1 - weight) * (1 - lower / upper) + weight * first


@pytest.mark.parametrize("k1, k2", [(7, 3), (12, 1)])
def test_k_reciprocal_equals_sets(pairing: Pairing, k1: int, k2: int) -> None:
    plain = naive_reciprocal(pairing.embeddings.double().numpy(), k1, k2, 0.3)[pairing.query, pairing.gallery]
    ours = collect(pairing, Reranking("k-reciprocal", reciprocal=ReciprocalPlan(k1, k2, 0.3)))
    np.testing.assert_allclose(-ours.numpy(), plain, atol=2e-5)


def naive_system(embeddings: np.ndarray, k: int, gamma: float, alpha: float) -> np.ndarray:
    count, order = len(embeddings), order_with_self_first(embeddings)
    affinity = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            if i != j and j in order[i][:k] and i in order[j][:k]:
                affinity[i, j] = max(embeddings[i] @ embeddings[j], 0) ** gamma
    degree = affinity.sum(axis=1) + 1e-12
    return np.eye(count) - alpha * affinity / np.sqrt(degree[:, None] * degree[None])


@pytest.mark.parametrize("reach", [None, 15])
def test_diffusion_equals_plain_solves(pairing: Pairing, reach: int | None) -> None:
    embeddings = pairing.embeddings.double().numpy()
    system, spread = naive_system(embeddings, 9, 3.0, 0.9), np.zeros((54, 54))
    for source, order in enumerate(order_with_self_first(embeddings)):
        near = order[:reach]
        spread[source, near] = np.linalg.solve(system[np.ix_(near, near)], np.eye(len(near))[0])
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    plan = DiffusionPlan(9, 3.0, 0.9, "truncated" if reach else "dense", reach or 1, steps=200, tolerance=1e-10)
    ours = collect(pairing, Reranking("diffusion", diffusion=plan))
    plain = (spread @ spread.T)[pairing.query, pairing.gallery]
    np.testing.assert_allclose(ours.numpy(), plain, atol=5e-5)


def test_reaching_everything_is_dense_and_blocks_change_nothing(pairing: Pairing) -> None:
    dense = DiffusionPlan(9, 3.0, 0.9, "dense")
    whole = replace(dense, mode="truncated", reach=54, steps=200, tolerance=1e-10)
    torch.testing.assert_close(collect(pairing, Reranking("diffusion", diffusion=dense)),
                               collect(pairing, Reranking("diffusion", diffusion=whole)), **LOOSE)
    for how in RERANKINGS:
        plan = Reranking(how, diffusion=replace(whole, reach=20), reciprocal=ReciprocalPlan(7, 3))
        assert torch.equal(collect(pairing, plan), collect(pairing, plan, 7))


def mean_precision(pairing: Pairing, plan: Reranking) -> float:
    return score_chunks(rerank(pairing, plan), pairing.labels, pairing.labels, among_selves=True).map


@pytest.mark.parametrize("how", RERANKINGS[1:])
def test_it_helps_where_images_are_noisy(how: str) -> None:
    labels = torch.arange(120) % 6
    embeddings = F.normalize(torch.randn(6, 32)[labels] + 1.5 * torch.randn(120, 32), dim=1)
    plan = Reranking(how, neighbours=4, diffusion=DiffusionPlan(k=10), reciprocal=ReciprocalPlan(10, 4))
    assert mean_precision(Pairing(embeddings, labels), plan) > mean_precision(Pairing(embeddings, labels), Reranking()) + 0.02


def test_diffusion_walks_along_a_chain() -> None:
    # Two interleaved half circles: far ends of one are nearer to the other, but linked by a chain of neighbours.
    turn = torch.linspace(0, torch.pi, 60)
    upper = torch.stack([turn.cos(), turn.sin()], dim=1)
    points = torch.cat([upper, torch.tensor([1.0, 0.35]) - upper])
    pairing = Pairing(F.normalize(torch.cat([points, torch.ones(120, 1)], dim=1), dim=1), torch.arange(120) // 60)
    assert mean_precision(pairing, Reranking()) < 0.85
    assert mean_precision(pairing, Reranking("diffusion", diffusion=DiffusionPlan(k=8))) > 0.95


def test_flags_are_checked_together() -> None:
    parser = Parser()
    add_options(parser, RerankOptions)
    args = parser.parse_args(["--rerank", "diffusion", "--diffusion-k", "9", "--diffusion-mode", "dense"])
    plan = read_rerank(RerankOptions.read(vars(args)))
    assert plan.describe(10**6) == "diffusion dense k=9 gamma=3 alpha=0.99"
    assert read_rerank(RerankOptions()).describe(10) == ""
    auto = Reranking("diffusion")
    assert auto.describe(20_000).startswith("diffusion dense") and auto.describe(20_001).endswith("n=1000")
    with pytest.raises(ConfigError, match="3 problems"):
        parser.parse_args(["--qe-n", "0", "--diffusion-alpha", "1", "--jaccard-lambda", "2"])
