"""The functions behind tools/sort.py against small sums done by hand, and against clouds whose groups are known."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting.choice import choose_to_name
from evaluation.sorting.cloud import ODD, find_nearest_others, rate_oddness, reduce, smooth_embeddings, survey
from evaluation.sorting.groups import estimate_groups, group, match_accuracy, rate_typicality
from evaluation.sorting.rehearsal import naming_accuracy
from evaluation.sorting.spread import spread_labels

CLASSES, EACH = 5, 24


def make_blobs(classes: int = CLASSES, each: int = EACH, width: int = 40, noise: float = 0.06) -> tuple[Tensor, Tensor]:
    """Centred unit embeddings around as many directions, and their classes, shuffled."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(classes).repeat_interleave(each)[torch.randperm(classes * each, generator=generator)]
    centres = F.normalize(torch.randn(classes, width, generator=generator), dim=1)
    points = centres[labels] + noise * torch.randn(len(labels), width, generator=generator)
    return normalise_embeddings(points - points.mean(dim=0)), labels


def test_accuracy_of_a_renamed_labelling_is_one() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    assert match_accuracy(torch.tensor([2, 0, 1])[labels], labels) == 1
    assert match_accuracy(torch.zeros(7, dtype=torch.long), labels) == pytest.approx(3 / 7)


def test_accuracy_equals_the_best_of_all_matchings() -> None:
    groups, labels = torch.randint(0, 4, (60,)), torch.randint(0, 4, (60,))
    tried = [float((torch.tensor(order)[groups] == labels).double().mean()) for order in itertools.permutations(range(4))]
    assert match_accuracy(groups, labels) == pytest.approx(max(tried))


def test_blobs_are_counted_and_grouped() -> None:
    embeddings, labels = make_blobs()
    cloud = survey(embeddings)
    estimate = estimate_groups(cloud.reduced)
    assert estimate.count == CLASSES and max(estimate.silhouettes, key=estimate.silhouettes.get) == CLASSES
    assert match_accuracy(group(cloud.smooth, CLASSES), labels) == 1
    again = survey(embeddings)
    assert torch.equal(group(again.smooth, 7), group(cloud.smooth, 7))


def test_the_largest_group_is_the_first() -> None:
    embeddings, labels = make_blobs(3, 20)
    kept = torch.cat([(labels == 0).nonzero()[:5], (labels == 1).nonzero()[:20], (labels == 2).nonzero()[:12]]).flatten()
    sizes = torch.bincount(group(embeddings[kept], 3)).tolist()
    assert sizes == [20, 12, 5]


def test_equal_pictures_make_fewer_groups_than_asked() -> None:
    embeddings = torch.eye(3, 8).repeat_interleave(4, dim=0)
    assert int(group(normalise_embeddings(embeddings - embeddings.mean(dim=0)), 6).max()) + 1 == 3


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


def test_typicality_is_the_cosine_with_the_group_mean() -> None:
    embeddings, labels = make_blobs(2, 10)
    rated = rate_typicality(embeddings, labels)
    naive = [float(embeddings[i] @ F.normalize(embeddings[labels == labels[i]].mean(dim=0), dim=0)) for i in range(20)]
    assert torch.allclose(rated, torch.tensor(naive), atol=1e-6)


def test_a_stranger_is_odd_and_nobody_else() -> None:
    points = 1 + 0.2 * torch.rand(60, 12)
    points[17] = torch.tensor([3.0, -1] * 6)
    odd = rate_oddness(points)
    assert odd.argmax() == 17 and odd[17] > ODD and int((odd > ODD).sum()) == 1
    assert torch.isfinite(rate_oddness(torch.ones(9, 4))).all()


def test_first_choices_cover_all_groups_and_skip_the_named() -> None:
    embeddings, labels = make_blobs()
    chosen = choose_to_name(embeddings, CLASSES)
    assert sorted(labels[chosen].tolist()) == list(range(CLASSES))
    more = choose_to_name(embeddings, 10, named=chosen[:3])
    assert not set(more) & set(chosen[:3])
    assert set(labels[more[:2]].tolist()) == set(labels[chosen[3:]].tolist())
    assert len(choose_to_name(embeddings, 10_000)) == len(set(choose_to_name(embeddings, 10_000))) == len(embeddings)


def test_choices_are_the_naive_greedy_ones() -> None:
    embeddings = normalise_embeddings(torch.randn(40, 8))
    likeness = (embeddings @ embeddings.T).clamp_min(0).square()
    chosen: list[int] = []
    for _ in range(8):
        value = [-1.0 if i in chosen else float(likeness[[*chosen, i]].amax(dim=0).sum()) for i in range(40)]
        chosen.append(max(range(40), key=value.__getitem__))
    assert choose_to_name(embeddings, 8) == chosen


def test_a_few_labels_name_the_rest() -> None:
    embeddings, labels = make_blobs()
    cloud = survey(embeddings)
    chosen = choose_to_name(cloud.reduced, CLASSES)
    shown = torch.full_like(labels, -1)
    shown[chosen] = labels[chosen]
    spread = spread_labels(cloud.smooth, shown)
    assert torch.equal(spread.labels, labels)
    assert (spread.confidence[chosen] == 1).all() and ((spread.confidence > 0.5) & (spread.confidence <= 1)).all()
    assert naming_accuracy(cloud.smooth, labels, chosen) == 1


def test_given_labels_stay_whatever_the_features_say() -> None:
    embeddings, _ = make_blobs()
    wild = torch.randint(0, 3, (len(embeddings),))
    spread = spread_labels(embeddings, wild)
    assert torch.equal(spread.labels, wild) and (spread.confidence == 1).all()
    with pytest.raises(ValueError, match="no label"):
        spread_labels(embeddings, torch.full_like(wild, -1))
