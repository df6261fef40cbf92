"""Retrieval scores against the plain way, ties and duplicates included."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from benchmarks.reference.retrieval import retrieve_one_by_one
from evaluation.metrics import ranking, similarity
from evaluation.retrieval.score import RetrievalScores, nearest, retrieve, score_chunks
from runtime.errors import DataError


def signs(count: int, width: int = 16, seed: int = 0) -> Tensor:
    """Embeddings of +-1 in a power-of-four width: normalised products are exact, so ties are ties on any machine."""
    return torch.randint(0, 2, (count, width), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


def assert_like_plain(scores: RetrievalScores, features: Tensor, labels: Tensor) -> None:
    """Same means, same APs, same first hits as one query at a time."""
    plain = retrieve_one_by_one(features, labels)
    assert retrieve_one_by_one(features, labels, copy_gallery=True).map == pytest.approx(plain.map, abs=1e-9)
    assert (scores.rank1, scores.rank5) == pytest.approx((plain.rank1, plain.rank5), abs=1e-12)
    assert scores.map == pytest.approx(plain.map, abs=1e-9)
    assert scores.skipped == plain.first_hit.count(None)
    for index, first in enumerate(plain.first_hit):
        assert int(scores.first_hit[index]) == (first or 0)
        if first is not None:
            assert float(scores.average_precision[index]) == pytest.approx(plain.average_precision[index], abs=1e-9)


@pytest.mark.parametrize("count", [2, 7, 255, 256, 257, 700])
def test_many_exact_ties_rank_by_gallery_index(count: int) -> None:
    features, labels = signs(count), torch.arange(count) % max(count // 9, 1)
    assert_like_plain(retrieve(features, labels), features, labels)


def test_identical_images_have_tied_scores_in_any_tile() -> None:
    base = torch.randn(200, 2048, generator=torch.Generator().manual_seed(1))
    features, labels = base.repeat(4, 1), torch.arange(800) % 200  # copies lie in different tiles
    scores = retrieve(features, labels)
    assert scores.map == 1.0 and scores.rank1 == 1.0
    assert nearest(features, 3)[5].tolist() == [205, 405, 605]
    assert nearest(features, 3)[405].tolist() == [5, 205, 605]


def test_tied_rows_are_ordered_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = signs(300), torch.arange(300) % 40
    whole = retrieve(features, labels)
    monkeypatch.setattr(ranking, "SORTED_WHOLE", 700)  # two embeddings
    assert torch.equal(retrieve(features, labels).first_hit, whole.first_hit)
    assert_like_plain(retrieve(features, labels), features, labels)


def test_a_part_of_the_images_may_ask_all() -> None:
    features, labels = signs(600), torch.arange(600) % 40
    embeddings = similarity.normalise_embeddings(features)
    whole = retrieve(features, labels)
    some = score_chunks(similarity.cross_chunks(embeddings[:100], embeddings), labels[:100], labels, among_selves=True)
    assert torch.equal(some.first_hit, whole.first_hit[:100])
    assert torch.equal(some.per_query["map_at_r"], whole.per_query["map_at_r"][:100])


def test_collapsed_features_rank_by_index_alone() -> None:
    features, labels = torch.ones(300, 16), torch.tensor([0, 1, 2] * 100)
    scores = retrieve(features, labels)
    assert_like_plain(scores, features, labels)
    assert scores.rank1 == pytest.approx(99 / 300)  # image 0 comes first for all others, and 99 of them share its class


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_distances_of_rows_of_any_length_rank_as_in_sklearn(shift: float) -> None:
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(0, 9, (300,), generator=generator)
    embeddings = torch.randn(9, 6, generator=generator)[labels] + torch.randn(300, 6, generator=generator)
    embeddings = embeddings * torch.linspace(0.2, 3, 300)[:, None] + shift  # far from the origin the cosine says nothing
    scores = retrieve(embeddings, labels, distance="euclid", chunk_size=256)
    double = embeddings.double().numpy()
    _, order = NearestNeighbors(n_neighbors=300, algorithm="brute").fit(double).kneighbors(double[:100])
    expected = []
    for query, near in enumerate(order.tolist()):
        near.remove(query)
        hits = (labels[near] == labels[query]).numpy()
        assert int(scores.first_hit[query]) == hits.argmax() + 1
        expected.append(average_precision_score(hits, -torch.arange(299)))
    gaps = (scores.average_precision[:100] - torch.tensor(expected, dtype=torch.float64)).abs()
    assert gaps.max() < 1e-4 and gaps.mean() < 1e-6  # float32 may swap two that are nearly as near
    cosine = retrieve(embeddings, labels)
    assert not torch.equal(cosine.first_hit, scores.first_hit)
    unit = F.normalize(embeddings, dim=1)
    assert retrieve(unit, labels, distance="euclid").map == pytest.approx(cosine.map, abs=1e-4)


def test_equal_rows_have_tied_distances_and_broken_ones_are_refused() -> None:
    embeddings = torch.randn(150, 12, generator=torch.Generator().manual_seed(1)).repeat(4, 1)
    scores = retrieve(embeddings, torch.arange(600) % 150, distance="euclid")
    assert scores.map == 1.0
    embeddings[3, 1] = torch.inf
    with pytest.raises(ValueError, match="1 of 600 feature embeddings"):
        retrieve(embeddings, torch.arange(600) % 150, distance="euclid")


def test_real_valued_features_agree_with_one_query_at_a_time() -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(0, 12, (500,), generator=generator)
    features = torch.randn(12, 96, generator=generator)[labels] + 2 * torch.randn(500, 96, generator=generator)
    scores, plain = retrieve(features, labels), retrieve_one_by_one(features, labels)
    # Of 250,000 pairs a few lie nearer to each other than single precision tells, and may change places.
    assert scores.map == pytest.approx(plain.map, abs=1e-5)
    assert (scores.rank1, scores.rank5) == pytest.approx((plain.rank1, plain.rank5), abs=1 / 400)
    expected = torch.tensor(plain.average_precision, dtype=torch.float64)
    gaps = (scores.average_precision - expected).abs()
    assert gaps.max() < 1e-3 and (gaps < 1e-9).double().mean() > 0.95


def test_singletons_are_skipped_and_unlabelled_images_are_only_gallery() -> None:
    features = signs(40, seed=3)
    labels = torch.arange(40) % 5
    labels[7], labels[[1, 2, 3]] = 99, -1
    scores = retrieve(features, labels)
    assert (scores.queries, scores.skipped) == (36, 4)
    assert scores.first_hit[[1, 2, 3, 7]].tolist() == [0, 0, 0, 0]
    assert math.isnan(scores.average_precision[7])
    plain = retrieve_one_by_one(features, torch.where(labels < 0, 1000 + torch.arange(40), labels))
    assert scores.map == pytest.approx(plain.map, abs=1e-9)


def test_no_pair_of_a_class_is_refused() -> None:
    with pytest.raises(DataError, match="at least two images"):
        retrieve(signs(6), torch.arange(6))


def test_hand_counted_example() -> None:
    angles = torch.tensor([0.0, 0.1, 0.3, 0.35, 1.0])
    scores = retrieve(torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 1, 0, 1, 1]))
    # ranks of the hits by query: 0 -> [2]; 1 -> [3, 4]; 2 -> [3]; 3 -> [2, 4]; 4 -> [1, 3]
    expected = [1 / 2, (1 / 3 + 2 / 4) / 2, 1 / 3, (1 / 2 + 2 / 4) / 2, (1 / 1 + 2 / 3) / 2]
    assert scores.average_precision.tolist() == pytest.approx(expected)
    assert (scores.rank1, scores.rank5) == (1 / 5, 1.0)


@pytest.mark.parametrize("width", [5, 511, 2048])
def test_numbers_do_not_depend_on_the_block_size(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(4)
    features, labels = torch.randn(1100, width, generator=generator), torch.arange(1100) % 40
    features[550:] = features[:550]  # duplicates: rounding would decide their order
    first = retrieve(features, labels)
    for chunk_size in (1, 300, 512, 5000):
        again = retrieve(features, labels, chunk_size=chunk_size)
        assert torch.equal(again.average_precision, first.average_precision)
        assert torch.equal(again.first_hit, first.first_hit)
    monkeypatch.setattr(similarity, "MOST_HELD", 0)  # the path that never holds the whole matrix
    assert torch.equal(retrieve(features, labels).average_precision, first.average_precision)


def test_input_is_left_alone_and_need_not_be_normalised() -> None:
    features, labels = torch.randn(60, 8, generator=torch.Generator().manual_seed(5)), torch.arange(60) % 4
    before = features.clone()
    scale = torch.rand(60, 1, generator=torch.Generator().manual_seed(6)) + 0.5
    assert retrieve(features * scale, labels).map == pytest.approx(retrieve(features, labels).map, abs=1e-6)
    assert torch.equal(features, before)


def test_features_that_are_not_finite_are_named() -> None:
    features = torch.ones(5, 3)
    features[2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"1 of 5 feature embeddings.*\[2\]"):
        retrieve(features, torch.zeros(5, dtype=torch.long))


def test_nearest_is_a_stable_ranking_of_the_others() -> None:
    features = signs(90, seed=7)
    unit = F.normalize(features, dim=1)
    for index, row in enumerate(nearest(features, 5).tolist()):
        order = (unit @ unit[index]).argsort(descending=True, stable=True).tolist()
        order.remove(index)
        assert row == order[:5]
    assert nearest(features[:3], 5).shape == (3, 2)
