"""Cluster scores against scikit-learn, and k-means where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from evaluation.metrics.clustering import compare_partitions, expect_mutual_information, kmeans_clusters, score_clusters


def pair_f1(truth: np.ndarray, found: np.ndarray) -> float:
    """Pair by pair."""
    pairs = [(i, j) for i in range(len(truth)) for j in range(i)]
    both = sum(truth[i] == truth[j] and found[i] == found[j] for i, j in pairs)
    kept, same = (sum(values[i] == values[j] for i, j in pairs) for values in (found, truth))
    precision, recall = both / kept, both / same
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("count, classes, clusters", [(40, 5, 4), (90, 30, 12), (25, 2, 20)])
def test_equals_sklearn_and_counted_pairs(count: int, classes: int, clusters: int) -> None:
    rng = np.random.default_rng(count)
    truth, found = rng.integers(0, classes, count), rng.integers(0, clusters, count)
    scores = compare_partitions(truth, found)
    assert scores.nmi == pytest.approx(normalized_mutual_info_score(truth, found), abs=1e-12)
    assert scores.ami == pytest.approx(adjusted_mutual_info_score(truth, found), abs=1e-10)
    assert scores.f1 == pytest.approx(pair_f1(truth, found), abs=1e-12)
    table = contingency_matrix(truth, found)
    chance = expected_mutual_information(table, count)
    assert expect_mutual_information(table.sum(1), table.sum(0)) == pytest.approx(chance, abs=1e-10)


def test_perfect_one_cluster_and_all_apart() -> None:
    truth = np.repeat(np.arange(4), 5)
    perfect = compare_partitions(truth, (truth + 2) % 4)
    assert (perfect.nmi, perfect.ami, perfect.f1) == pytest.approx((1, 1, 1))
    together, apart = compare_partitions(truth, truth * 0), compare_partitions(truth, np.arange(20))
    assert (together.nmi, together.ami) == pytest.approx((0, 0)) and 0 < together.f1 < 1
    assert apart.f1 == 0 and apart.ami == pytest.approx(0, abs=1e-9) and apart.nmi > 0.5


def test_kmeans_finds_far_groups_and_repeats_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    features = 20 * torch.eye(3, 8)[labels] + torch.randn(120, 8, generator=generator)
    assert score_clusters(features, labels, seed=1).metrics() == pytest.approx({"nmi": 1, "ami": 1, "f1": 1})
    noise = torch.randn(200, 8, generator=generator).numpy()
    first = kmeans_clusters(noise, 9, seed=3)
    assert np.array_equal(first, kmeans_clusters(noise, 9, seed=3)) and len(np.unique(first)) == 9
    spoilt = torch.cat([features, torch.randn(30, 8, generator=generator)])
    unlabelled = torch.cat([labels, torch.full((30,), -1)])
    assert score_clusters(spoilt, unlabelled, seed=1).nmi == pytest.approx(1)


@pytest.mark.parametrize("seed", [2**31 - 1, 2**31, 2**32 - 1])
def test_kmeans_takes_every_seed_that_a_flag_may_be(seed: int) -> None:
    rows = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    assert set(kmeans_clusters(rows, 2, seed).tolist()) == {0, 1}
