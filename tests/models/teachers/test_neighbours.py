"""Diffusion over nearest neighbours."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.teachers import neighbours
from models.teachers.neighbours import smooth_by_neighbours


def diffuse_plainly(embeddings, count, steps):
    """Row by row, neighbour by neighbour."""
    for _ in range(steps):
        moved = []
        for row in embeddings:
            cosines = [float(row @ other) for other in embeddings]
            order = sorted(range(len(embeddings)), key=lambda i: -cosines[i])[: count + 1]
            moved.append(sum(max(cosines[i], 0) ** 3 * embeddings[i] for i in order))
        embeddings = F.normalize(torch.stack(moved), dim=1)
    return embeddings


@pytest.mark.parametrize("steps", [1, 3])
def test_equals_the_plain_loop_in_any_block(monkeypatch, steps):
    embeddings = F.normalize(torch.randn(23, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    expected = diffuse_plainly(embeddings, 4, steps)
    assert torch.allclose(smooth_by_neighbours(embeddings, 4, steps), expected, atol=1e-5)
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    assert torch.allclose(smooth_by_neighbours(embeddings, 4, steps), expected, atol=1e-5)


def test_two_rows_meet_on_the_analytic_line():
    """At 60 degrees each weighs the other 1/8: tan of the new angle from its own row is sin 60 / (8 + cos 60)."""
    embeddings = torch.tensor([[1.0, 0.0], [0.5, 3**0.5 / 2]])
    moved = smooth_by_neighbours(embeddings, 1)
    assert torch.isclose(moved[0, 1] / moved[0, 0], torch.tensor(3**0.5 / 2 / 8.5))
    assert torch.isclose(moved.norm(dim=1), torch.ones(2)).all()


def test_pieces_draw_together_and_stay_apart():
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(3, 16, generator=generator), dim=1)
    embeddings = F.normalize(centres.repeat_interleave(10, 0) + 0.15 * torch.randn(30, 16, generator=generator), dim=1)
    moved = smooth_by_neighbours(embeddings, 5, 4)
    piece = torch.arange(30) // 10
    within = piece[:, None] == piece
    before, after = embeddings @ embeddings.T, moved @ moved.T
    assert after[within].mean() > before[within].mean() + 0.1
    assert after[~within].mean() < before[within].mean()


@pytest.mark.parametrize("count", [0, 4, 9])
def test_refuses_neighbours_that_do_not_exist(count):
    with pytest.raises(ValueError, match="give 1 to 3"):
        smooth_by_neighbours(torch.eye(4), count)
