"""Groups against small sums done by hand, and in clouds whose groups are known."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting.cloud import survey
from evaluation.sorting.groups import SCALES, estimate_groups, find_scales, group, match_accuracy, rate_typicality

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


def test_typicality_is_the_cosine_with_the_group_mean() -> None:
    embeddings, labels = make_blobs(2, 10)
    rated = rate_typicality(embeddings, labels)
    naive = [float(embeddings[i] @ F.normalize(embeddings[labels == labels[i]].mean(dim=0), dim=0)) for i in range(20)]
    assert torch.allclose(rated, torch.tensor(naive), atol=1e-6)


def test_groups_of_groups_stand_out_at_both_scales() -> None:
    generator = torch.Generator().manual_seed(0)
    wide, narrow = torch.randn(2, 40, generator=generator), torch.randn(12, 40, generator=generator)
    labels = torch.arange(12).repeat_interleave(20)
    points = 2 * F.normalize(wide, dim=1)[labels // 6] + F.normalize(narrow, dim=1)[labels]
    points = points + 0.12 * torch.randn(240, 40, generator=generator)
    cloud = survey(normalise_embeddings(points - points.mean(dim=0)))
    estimate = estimate_groups(cloud.reduced, cloud.smooth)
    assert {2, 12} <= set(estimate.scales) and estimate.count in estimate.scales
    assert match_accuracy(group(cloud.smooth, 2), labels // 6) == 1 == match_accuracy(group(cloud.smooth, 12), labels)


def test_scales_are_the_peaks_the_coarsest_and_the_finest_first() -> None:
    scores = {2: 0.5, 3: 0.4, 4: 0.6, 5: 0.5, 6: 0.55, 7: 0.5, 8: 0.56, 10: 0.3, 12: 0.45, 14: 0.2, 17: 0.3, 20: 0.1}
    assert find_scales(scores, 5) == (2, 4, 5, 12)  # 0.3 of 17 is less than 0.7 of 0.6; 6 and 8 are lower than 4
    assert find_scales({2: -0.1, 3: -0.2}, 2) == (2,) and len(find_scales(scores, 2)) == SCALES
    assert find_scales({2: 0.1, 3: 0.2, 4: 0.3}, 2) == (2, 4)


def test_two_groups_need_more_than_a_sign() -> None:
    embeddings, labels = make_blobs(2, 40, noise=0.2)
    assert match_accuracy(group(embeddings, 2), labels) == 1
