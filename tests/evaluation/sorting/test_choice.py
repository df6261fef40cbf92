"""Which pictures to name next: greedy choices against naive ones, what is skipped, and what naming is worth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting import choice
from evaluation.sorting.choice import NamingOrder, choose_to_name, expected_gain
from evaluation.sorting.cloud import Cloud, survey
from evaluation.sorting.rehearsal import show_labels
from evaluation.sorting.spread import Spread, spread_labels


def make_cloud(kinds: int = 6, each: int = 20, noise: float = 0.08) -> tuple[Cloud, Tensor]:
    """A cloud of shuffled kinds, and the kind of every picture."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(kinds).repeat_interleave(each)[torch.randperm(kinds * each, generator=generator)]
    points = normalise_embeddings(torch.randn(kinds, 24, generator=generator))[labels]
    points = points + noise * torch.randn(len(labels), 24, generator=generator)
    return survey(normalise_embeddings(points - points.mean(dim=0))), labels


def choose_naively(embeddings: Tensor, weights: Tensor, count: int, known: list[int]) -> list[int]:
    """Every step tries every picture."""
    likeness = (embeddings @ embeddings.T).clamp_min(0).square()
    chosen: list[int] = []
    for _ in range(count):
        value = [-1.0 if i in {*chosen, *known} else float(likeness[[*known, *chosen, i]].amax(dim=0) @ weights)
                 for i in range(len(embeddings))]
        chosen.append(max(range(len(embeddings)), key=value.__getitem__))
    return chosen


def test_the_order_is_the_naive_one_and_that_of_choose_to_name() -> None:
    cloud, _ = make_cloud()
    order = NamingOrder(cloud)
    assert order.next(5, [3, 8]) == choose_naively(cloud.reduced, torch.ones(120), 5, [3, 8])
    assert order.next(9, [3, 8]) == choose_to_name(cloud.reduced, 9, [3, 8])


def test_unsure_pictures_count_more() -> None:
    cloud, labels = make_cloud()
    named = (labels < 3).nonzero().flatten()[:12].tolist()
    spread = spread_labels(cloud, show_labels(labels, named))
    found = NamingOrder(cloud).next(5, named, (), spread)
    assert found == choose_naively(cloud.reduced, 1 - spread.confidence, 5, named)
    assert set(labels[found[:3]].tolist()) == {3, 4, 5}  # the kinds that nobody has named


def test_skipped_pictures_are_not_proposed_again_and_their_likes_wait() -> None:
    cloud, labels = make_cloud()
    order = NamingOrder(cloud)
    first = order.next(1, [])
    skipped = order.next(5, [], skip=first)
    assert not set(first) & set(skipped) and int(labels[first[0]]) not in labels[skipped].tolist()
    assert len(order.next(1000, [0, 1], skip=[2])) == 117 and order.next(0, []) == []


def test_of_many_pictures_some_are_candidates_and_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, labels = make_cloud()
    monkeypatch.setattr(choice, "MOST_HELD", 60)  # 60 x 60 numbers: every 4th of 120 pictures is a candidate
    order = NamingOrder(cloud)
    assert order.likeness.shape == (30, 120)
    found = order.next(6, [])
    assert all(index % 4 == 0 for index in found) and sorted(labels[found].tolist()) == list(range(6))


def test_the_expected_gain_of_equal_pictures_is_their_share() -> None:
    points = torch.eye(4).repeat_interleave(torch.tensor([8, 4, 4, 4]), dim=0)
    cloud = survey(normalise_embeddings(points - points.mean(dim=0)))
    assert expected_gain(cloud, None, [0]) == pytest.approx(0.4, abs=1e-4)
    assert expected_gain(cloud, None, [0, 9]) == pytest.approx(0.6, abs=1e-4)
    assert expected_gain(cloud, None, []) == 0
    known = torch.zeros(20, dtype=torch.long)
    half = Spread(known, torch.full((20,), 0.5), torch.zeros(20))
    assert expected_gain(cloud, half, [0]) == pytest.approx(0.4 * 0.25, abs=1e-4)
    assert expected_gain(cloud, Spread(known, torch.ones(20), torch.zeros(20)), [0]) == 0


def test_the_expected_gain_is_about_the_real_one_in_clear_kinds() -> None:
    cloud, labels = make_cloud()
    named = (labels < 3).nonzero().flatten()[:12].tolist()
    spread = spread_labels(cloud, show_labels(labels, named))
    proposed = [int((labels == kind).nonzero()[0]) for kind in (3, 4, 5)]
    after = spread_labels(cloud, show_labels(labels, [*named, *proposed]))
    real = float((after.labels == labels).double().mean() - (spread.labels == labels).double().mean())
    assert real == pytest.approx(0.5) and expected_gain(cloud, spread, proposed) == pytest.approx(real, abs=0.15)


def test_first_choices_cover_all_kinds_and_skip_the_named() -> None:
    cloud, labels = make_cloud()
    chosen = choose_to_name(cloud.reduced, 6)
    assert sorted(labels[chosen].tolist()) == list(range(6))
    more = choose_to_name(cloud.reduced, 10, named=chosen[:3])
    assert not set(more) & set(chosen[:3])
    assert set(labels[more[:3]].tolist()) == set(labels[chosen[3:]].tolist())
    assert len(set(choose_to_name(cloud.reduced, 10_000))) == 120
