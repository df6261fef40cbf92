"""The space, the centroids and the temperature of the vocabulary-free mode."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

from models.teachers.prototypes import (
    default_prototype_count,
    fit_space,
    kmeans_prototypes,
    mean_entropy,
    temperature_for_entropy,
)


def _clusters(count: int = 120, width: int = 24, groups: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(groups, width, generator=generator)
    return centres.repeat(count // groups, 1) + 0.1 * torch.randn(count, width, generator=generator)


@pytest.mark.parametrize(("count", "width"), [(120, 24), (20, 64)])
def test_space_spans_the_principal_directions(count: int, width: int) -> None:
    features = torch.randn(count, width, generator=torch.Generator().manual_seed(0)) * torch.linspace(5, 1, width) + 2
    space = fit_space(features, 8)
    expected = torch.from_numpy(PCA(8).fit(features.double().numpy()).components_).float()
    assert (space.components * expected).sum(1).abs().allclose(torch.ones(8), atol=1e-4)
    assert space.mean.allclose(features.mean(0), atol=1e-5)


def test_projection_is_unit_float32_and_free_of_the_mean() -> None:
    features = _clusters() + 100
    space = fit_space(features, 5)
    projected = space.project(features.double())
    assert projected.dtype == torch.float32
    assert projected.norm(dim=1).allclose(torch.ones(120), atol=1e-5)
    assert fit_space(features - 100, 5).project(features - 100).allclose(projected, atol=1e-3)


def test_signs_do_not_depend_on_the_order_of_images() -> None:
    features = _clusters()
    assert fit_space(features.flip(0), 4).components.allclose(fit_space(features, 4).components, atol=1e-4)


def test_default_dimension_respects_the_number_of_images() -> None:
    assert fit_space(torch.randn(10, 40)).dim == 9
    assert fit_space(torch.randn(40, 7)).dim == 7
    assert fit_space(torch.randn(600, 700)).dim == 512


def test_space_refuses_more_directions_than_exist() -> None:
    with pytest.raises(ValueError, match="at most 9 directions, 10 were asked"):
        fit_space(torch.randn(10, 40), 10)


def test_every_member_of_an_ensemble_has_a_say() -> None:
    loud, quiet = 1000 * _clusters(width=6), torch.randn(120, 6, generator=torch.Generator().manual_seed(1))
    both = torch.cat([loud, quiet], dim=1)
    unbalanced = fit_space(both, 6).components[:, 6:].norm()
    space = fit_space(both, 6, parts=(6, 6))
    weighted = (both - both.mean(0)) @ torch.eye(12)
    norms = [part.norm(dim=1).mean() for part in weighted.split(6, dim=1)]
    directions = space.components * torch.cat([norms[0].expand(6), norms[1].expand(6)])
    assert (directions @ directions.T).allclose(torch.eye(6), atol=1e-4)
    assert directions[:, 6:].norm() > 0.5 > unbalanced


def test_parts_must_add_up() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        fit_space(torch.randn(20, 8), 3, parts=(4, 5))


def test_centroids_find_the_clusters_and_repeat() -> None:
    features = torch.nn.functional.normalize(_clusters(), dim=1)
    prototypes = kmeans_prototypes(features, 6, seed=1)
    assert prototypes.shape == (6, 24) and prototypes.dtype == torch.float32
    assert prototypes.norm(dim=1).allclose(torch.ones(6), atol=1e-5)
    assert (features @ prototypes.T).max(1).values.min() > 0.9
    assert torch.equal(prototypes, kmeans_prototypes(features, 6, seed=1))


def test_more_centroids_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="130 prototypes asked of 120 images"):
        kmeans_prototypes(_clusters(), 130)


@pytest.mark.parametrize(("images", "expected"), [(5, 5), (40, 16), (612, 76), (100_000, 1024)])
def test_default_prototype_count(images: int, expected: int) -> None:
    assert default_prototype_count(images) == expected


@pytest.mark.parametrize("target", [0.2, 0.5, 0.8])
def test_temperature_meets_the_target(target: float) -> None:
    features = torch.nn.functional.normalize(_clusters(), dim=1)
    prototypes = kmeans_prototypes(features, 10)
    tau = temperature_for_entropy(features, prototypes, target)
    p = (features @ prototypes.T / tau).softmax(1)
    entropy = torch.special.entr(p).sum(1).mean() / math.log(10)
    assert float(entropy) == pytest.approx(target, abs=1e-3)


def test_entropy_of_equal_scores_is_one() -> None:
    assert mean_entropy(torch.ones(4, 3), torch.ones(5, 3), 0.1) == pytest.approx(1.0)


def test_unreachable_target_is_an_error() -> None:
    same = torch.nn.functional.normalize(torch.ones(6, 3), dim=1)
    with pytest.raises(ValueError, match="no temperature gives"):
        temperature_for_entropy(same, same)
    with pytest.raises(ValueError, match="at least 2 prototypes"):
        temperature_for_entropy(same, same[:1])


def test_duplicates_leave_only_directions_that_vary() -> None:
    features = torch.randn(10, 64).repeat(4, 1)
    space = fit_space(features)
    assert space.dim == 9
    torch.testing.assert_close(space.components @ space.components.T, torch.eye(9), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="9 directions"):
        fit_space(features, 20)
    with pytest.raises(ValueError, match="duplicates"):
        fit_space(torch.ones(6, 8))


def test_whitening_evens_out_the_directions() -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(400, 12, generator=generator) * torch.arange(1, 13)
    plain, half, full = (fit_space(features, whiten=whiten) for whiten in (0.0, 0.5, 1.0))
    centred = features - features.mean(dim=0)
    variances = [(centred @ space.components.T).var(dim=0, correction=0) for space in (plain, half, full)]
    floor = variances[0] + variances[0].mean() / 10
    torch.testing.assert_close(variances[1], variances[0] / floor.sqrt(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(variances[2], variances[0] / floor, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(F.normalize(half.components, dim=1), plain.components, rtol=1e-4, atol=1e-4)
