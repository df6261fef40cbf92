"""Naming rehearsed: who is named, who is passed over, and trust counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting.choice import choose_to_name
from evaluation.sorting.cloud import Cloud, survey
from evaluation.sorting.rehearsal import Trust, draw_nameable, pool_trust, rate_trust, rehearse_naming, show_labels
from evaluation.sorting.spread import Spread


def make_cloud() -> tuple[Cloud, Tensor]:
    """Eight kinds of twelve pictures."""
    generator = torch.Generator().manual_seed(6)
    labels = torch.arange(8).repeat(12)
    points = normalise_embeddings(torch.randn(8, 24, generator=generator))[labels]
    points = points + 0.1 * torch.randn(96, 24, generator=generator)
    return survey(normalise_embeddings(points - points.mean(dim=0))), labels


def test_the_first_names_are_the_first_proposals() -> None:
    cloud, labels = make_cloud()
    named = rehearse_naming(cloud, labels, 35)
    assert named[:20] == choose_to_name(cloud.reduced, 20) and len(set(named)) == len(named) == 35


def test_what_cannot_be_named_is_passed_over() -> None:
    cloud, labels = make_cloud()
    nameable = draw_nameable(labels, seed=0)
    assert len(labels[~nameable].unique()) == 2 and torch.equal(nameable, draw_nameable(labels, seed=0))
    named = rehearse_naming(cloud, labels, 200, nameable)
    assert sorted(named) == nameable.nonzero().flatten().tolist()
    assert rehearse_naming(cloud, labels, 5, torch.zeros(96, dtype=torch.bool)) == []


def test_at_least_one_kind_is_withheld() -> None:
    labels = torch.tensor([0, 0, 1, 1, 4])
    assert all(len(labels[~draw_nameable(labels, seed, 0.01)].unique()) == 1 for seed in range(5))


def test_trust_is_counted_by_hand() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    spread = Spread(torch.tensor([0, 0, 1, 0, 1, 1]), torch.tensor([1, 0.95, 1, 0.9, 0.2, 0.6]), torch.zeros(6))
    trust = rate_trust(spread, labels, [0, 2], labels < 2)
    assert (trust.asked, trust.sure, trust.right) == (4, 2, 1)
    assert trust.on_withheld == pytest.approx(0.4)
    # 0.9 and 0.95 lie in neighbouring bins of 15: gaps 0.9, 0.05, 0.2, 0.6
    assert trust.gap == pytest.approx((0.9 + 0.05 + 0.2 + 0.6) / 4)


def test_draws_are_pooled_and_what_was_never_seen_is_left_out() -> None:
    pooled = pool_trust([Trust(10, 4, 3, 0.2, 0.1), Trust(30, 4, 4, math.nan, 0.3)])
    assert pooled == pytest.approx({"sure": 0.2, "sure_right": 7 / 8, "withheld_confidence": 0.2, "ece": 0.2})
    assert pool_trust([Trust(5, 0, 0, math.nan, 0.1)]) == {"sure": 0, "ece": pytest.approx(0.1)}


def test_shown_labels_are_those_of_the_named() -> None:
    assert show_labels(torch.tensor([4, 5, 6]), [2]).tolist() == [-1, -1, 6]
    assert np.array_equal(show_labels(torch.tensor([4]), []).numpy(), [-1])
