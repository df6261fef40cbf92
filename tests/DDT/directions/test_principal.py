"""The streamed direction against a PCA of all descriptors at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from DDT.directions.principal import Direction, Moments, project, top_eigenvector
from runtime.errors import DataError


def make_maps(offset: float, count: int = 30) -> torch.Tensor:
    """Maps [count, 24, 5, 4] with a few strong directions and a mean at `offset`."""
    generator = torch.Generator().manual_seed(3)
    spread = torch.linspace(3.0, 0.2, 24)
    basis = torch.linalg.qr(torch.randn(24, 24, generator=generator)).Q
    rows = torch.randn(count * 20, 24, generator=generator) * spread @ basis.T + offset
    return rows.view(count, 5, 4, 24).permute(0, 3, 1, 2).contiguous()


def stream(maps: torch.Tensor, sizes: tuple[int, ...]) -> Direction:
    moments = Moments()
    for part in maps.split(sizes):
        moments.update(part)
    return moments.direction()


@pytest.mark.parametrize("offset", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize("sizes", [(30,), (7, 16, 6, 1)])
def test_equals_full_pca(offset: float, sizes: tuple[int, ...]) -> None:
    maps = make_maps(offset)
    rows = maps.permute(0, 2, 3, 1).reshape(-1, 24).double().numpy()
    full = PCA(n_components=1, svd_solver="full").fit(rows)
    found = stream(maps, sizes)
    assert abs(found.vector.double().numpy() @ full.components_[0]) >= 0.9999
    assert found.mean.numpy() == pytest.approx(rows.mean(0), rel=1e-6, abs=1e-6)
    assert found.share == pytest.approx(full.explained_variance_ratio_[0], rel=1e-4)
    assert found.count == len(rows)


def test_order_and_batches_do_not_matter() -> None:
    maps = make_maps(1.0)
    whole, parts = stream(maps, (30,)), stream(maps.flip(0), (11, 1, 18))
    assert torch.dot(whole.vector, parts.vector) > 0.99999


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_sign_follows_the_norm(turn: float) -> None:
    """Strong descriptors (the object) must come out positive, whichever way they point."""
    generator = torch.Generator().manual_seed(1)
    background = 0.05 * torch.randn(20, 6, 4, 4, generator=generator)
    background[:, 2, 1:3, 1:3] += turn * 5.0
    found = stream(background, (8, 12))
    indicator = project(background, found)
    assert indicator[:, 1:3, 1:3].min() > 0 > indicator[:, 0].max()
    norms = background.norm(dim=1).flatten()
    expected = np.corrcoef(indicator.flatten().numpy(), norms.numpy())[0, 1]
    assert found.correlation == pytest.approx(expected, abs=1e-4)
    assert expected > 0.9


def test_sign_is_recorded() -> None:
    maps = make_maps(1.0)
    found = stream(maps, (30,))
    rows = maps.permute(0, 2, 3, 1).reshape(-1, 24).double().numpy()
    _, vector = top_eigenvector(np.cov(rows.T))
    assert np.allclose(found.sign * vector, found.vector.numpy(), atol=1e-4)
    mirrored = stream(maps * torch.tensor(-1.0), (30,))
    assert torch.dot(found.vector, mirrored.vector) == pytest.approx(-1.0, abs=1e-4)
    assert found.sign == -mirrored.sign


def test_memory_is_that_of_one_matrix() -> None:
    moments = Moments()
    for _ in range(5):
        moments.update(make_maps(0.0))
    assert moments.scatter.shape == (25, 25) and moments.mean.shape == (25,)


def test_projects_about_the_mean() -> None:
    direction = Direction(torch.tensor([1.0, 2.0]), torch.tensor([0.6, 0.8]), 1.0, 0.5, 0.5, 10)
    maps = torch.tensor([[[[1.0, 2.0]], [[2.0, 4.0]]]])
    assert project(maps, direction).tolist() == [[[0.0, pytest.approx(2.2)]]]


def test_nothing_to_fit() -> None:
    with pytest.raises(DataError, match="training split is empty"):
        Moments().direction()
    with pytest.raises(DataError, match="equal or not finite"):
        stream(torch.ones(3, 4, 2, 2), (3,))
    with pytest.raises(DataError, match="equal or not finite"):
        stream(torch.full((3, 4, 2, 2), float("nan")), (3,))
