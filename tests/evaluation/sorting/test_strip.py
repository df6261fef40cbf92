"""The strip of all pictures: a permutation whose neighbours look alike."""

from __future__ import annotations

import torch
from torch import Tensor

from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting.cloud import Cloud, survey
from evaluation.sorting.strip import order_by_similarity


def make_cloud(classes: int, each: int, noise: float = 0.1) -> tuple[Cloud, Tensor]:
    """A cloud of shuffled blobs, and their classes."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(classes).repeat_interleave(each)[torch.randperm(classes * each, generator=generator)]
    centres = normalise_embeddings(torch.randn(classes, 40, generator=generator))
    points = centres[labels] + noise * torch.randn(len(labels), 40, generator=generator)
    return survey(normalise_embeddings(points - points.mean(dim=0))), labels


def mean_step(embeddings: Tensor, order: Tensor) -> float:
    """Mean cosine of consecutive embeddings."""
    return float((embeddings[order[1:]] * embeddings[order[:-1]]).sum(dim=1).mean())


def test_neighbours_on_the_strip_look_alike_and_classes_are_whole() -> None:
    cloud, labels = make_cloud(12, 30)
    order = order_by_similarity(cloud)
    assert torch.equal(order.sort().values, torch.arange(360))
    along = labels[order]
    assert int((along[1:] != along[:-1]).sum()) == 12 - 1
    shuffled = torch.randperm(360, generator=torch.Generator().manual_seed(0))
    assert mean_step(cloud.embeddings, order) > 0.7 > 0.2 > mean_step(cloud.embeddings, shuffled)
    assert torch.equal(order, order_by_similarity(cloud))


def test_pictures_on_a_circle_are_laid_along_it() -> None:
    angle = torch.rand(400, generator=torch.Generator().manual_seed(0)) * 2 * torch.pi
    cloud = survey(torch.stack([angle.cos(), angle.sin()], dim=1))
    assert mean_step(cloud.embeddings, order_by_similarity(cloud)) > 0.99


def test_equal_pictures_and_few_pictures_have_an_order() -> None:
    for rows in (torch.eye(3), torch.eye(4).repeat_interleave(50, dim=0)):
        order = order_by_similarity(survey(normalise_embeddings(rows - rows.mean(dim=0))))
        assert torch.equal(order.sort().values, torch.arange(len(rows)))
        assert mean_step(rows, order) >= (0 if len(rows) == 3 else 1 - 3 / 199 - 1e-6)
