"""Label-free numbers against naive loops and analytic values."""

from __future__ import annotations

import math

import pytest
import torch

from evaluation.labelfree.numbers import alignment, name_neighbours, neighbour_agreement, spectral_decay, uniformity


def rows(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_neighbours_are_those_of_a_loop_over_centred_cosines() -> None:
    features = rows(23, 5) + 3
    centred = features - features.mean(dim=0)
    for image, named in enumerate(name_neighbours(features, 4).tolist()):
        cosines = [(-9.0 if other == image else float(torch.cosine_similarity(centred[image], centred[other], dim=0)))
                   for other in range(23)]
        assert named == sorted(range(23), key=lambda other: -cosines[other])[:4]


def test_agreement_counts_what_two_tables_share() -> None:
    one, other = rows(40, 6), rows(40, 6, seed=1)
    first, second = (name_neighbours(table, 10).tolist() for table in (one, other))
    loop = sum(len({*a} & {*b}) / 10 for a, b in zip(first, second)) / 40
    assert neighbour_agreement(one, other) == pytest.approx(loop)
    assert neighbour_agreement(one, one @ torch.linalg.qr(rows(6, 6, seed=2))[0]) == 1.0  # a rotation moves no neighbour
    assert 0.1 < loop < 0.4  # chance is 10 of 39


def test_few_images_have_few_neighbours() -> None:
    assert neighbour_agreement(rows(4, 3), rows(4, 3, seed=1)) == 1.0  # all the others


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_a_power_law_has_its_exponent(alpha: float) -> None:
    count, width = 200, 20
    basis = torch.linalg.qr(rows(count, width).double() - rows(count, width).double().mean(dim=0))[0]
    basis = torch.linalg.qr(basis - basis.mean(dim=0))[0]
    values = torch.arange(1, width + 1).double().pow(-alpha / 2)
    assert spectral_decay(basis * values) == pytest.approx(alpha, abs=1e-6)


def test_a_collapsed_feature_has_no_decay() -> None:
    assert spectral_decay(torch.ones(5, 3)) == math.inf


def test_alignment_and_uniformity_are_their_formulas() -> None:
    one, other = rows(12, 4), rows(12, 4, seed=1)
    a, b = (torch.nn.functional.normalize(table, dim=1) for table in (one, other))
    assert alignment(one, other) == pytest.approx(sum(float((x - y).square().sum()) for x, y in zip(a, b)) / 12, rel=1e-5)
    pairs = [math.exp(-2 * float((a[i] - a[j]).square().sum())) for i in range(12) for j in range(12) if i != j]
    assert uniformity(one) == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-4)
    assert uniformity(torch.tensor([[1.0, 0], [-1.0, 0]])) == pytest.approx(-8)  # opposite ends: |x - y|^2 is 4
