"""What a diffused target must be: rows of probabilities, PSD's own without diffusion, the limit of a walk."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.obdsd import (
    plain_diffused_target,
    plain_divergence,
    plain_loss,
    plain_multi_similarity,
    plain_symmetric_target,
)
from losses.diffusion import (
    NORMALISATIONS,
    diffused_target,
    row_entropy,
    smooth_uniformly,
    symmetric_affinity,
    transition_matrix,
)
from losses.metric.multisimilarity import multi_similarity
from losses.relational import batch_similarity, relation_target, relational_divergence


def unit_rows(count: int = 12, dim: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1).to(dtype)


@pytest.mark.parametrize("weight, walk", [(0.3, 1.0), (0.99, 1.0), (0.5, 0.005)])
def test_equals_the_inverse(weight: float, walk: float) -> None:
    rows = unit_rows()
    ours = diffused_target(rows @ rows.T, weight=weight, walk_temperature=walk)
    torch.testing.assert_close(ours, plain_diffused_target(rows, weight, walk), atol=1e-10, rtol=0)
    single = diffused_target((rows @ rows.T).float(), weight=weight, walk_temperature=walk)
    torch.testing.assert_close(single.double(), ours, atol=2e-5, rtol=0)
    sharp = diffused_target(rows @ rows.T, weight=weight, temperature=0.2, walk_temperature=walk)
    torch.testing.assert_close(sharp, plain_diffused_target(rows, weight, walk, tau=0.2), atol=1e-10, rtol=0)


def test_symmetric_form_equals_the_papers() -> None:
    rows = unit_rows(dim=2)  # half of the cosines are negative
    ours = diffused_target(rows @ rows.T, weight=0.7, normalisation="symmetric", temperature=0.5)
    torch.testing.assert_close(ours, plain_symmetric_target(rows, 0.7, tau=0.5), atol=1e-10, rtol=0)
    apart = symmetric_affinity(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    assert apart.isfinite().all() and not apart.any()


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_rows_are_probabilities_and_follow_a_permutation(normalisation: str) -> None:
    similarity = unit_rows() @ unit_rows().T
    target = diffused_target(similarity, weight=0.9, normalisation=normalisation)
    assert (target > 0).all()
    torch.testing.assert_close(target.sum(dim=1), torch.ones(12, dtype=torch.float64))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = diffused_target(similarity[order][:, order], weight=0.9, normalisation=normalisation)
    torch.testing.assert_close(moved, target[order][:, order])


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_no_diffusion_is_self_distillation(normalisation: str) -> None:
    similarity = unit_rows() @ unit_rows().T
    target = diffused_target(similarity, weight=0.0, normalisation=normalisation, temperature=0.4)
    torch.testing.assert_close(target, (similarity / 0.4).softmax(dim=1))


def test_the_solve_is_the_limit_of_the_walk() -> None:
    similarity = unit_rows() @ unit_rows().T
    walk, start = transition_matrix(similarity, 0.1), similarity.softmax(dim=1)
    torch.testing.assert_close(walk.sum(dim=1), torch.ones(12, dtype=torch.float64))
    assert not walk.diagonal().any()
    limit = diffused_target(similarity, weight=0.6, walk_temperature=0.1)
    state = start
    for step in range(1, 25):
        state = 0.6 * walk @ state + 0.4 * start
        assert (state - limit).abs().max() <= 0.6**step


def test_a_flat_walk_smooths_uniformly_and_a_sharp_one_does_not() -> None:
    similarity = unit_rows(64, 32) @ unit_rows(64, 32).T
    ours = diffused_target(similarity, weight=0.9, temperature=0.1, walk_temperature=1.0)
    uniform = diffused_target(similarity, weight=0.9, temperature=0.1, normalisation="uniform")
    torch.testing.assert_close(uniform, smooth_uniformly((similarity / 0.1).softmax(dim=1), 0.9))
    sharp = diffused_target(similarity, weight=0.9, temperature=0.1, walk_temperature=0.005)
    assert (ours - uniform).abs().max() < 0.05 * uniform.max() < (sharp - uniform).abs().max()


def test_divergence_equals_the_plain_one_and_vanishes_for_the_teacher_itself() -> None:
    student, teacher = unit_rows(seed=1).requires_grad_(), unit_rows(seed=2)
    target = relation_target(teacher @ teacher.T, 0.5)
    ours = relational_divergence(batch_similarity(student), target, 0.5).mean()
    plain = plain_divergence(student, target, 0.5)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(ours, student), torch.autograd.grad(plain, student))
    same = relational_divergence(batch_similarity(student), relation_target(batch_similarity(student))).mean()
    assert same.abs() < 1e-12 and torch.autograd.grad(same, student)[0].abs().max() < 1e-12


def test_gradient_of_the_divergence_is_the_difference_of_the_rows() -> None:
    similarity = (unit_rows() @ unit_rows().T).requires_grad_()
    target = relation_target(unit_rows(seed=4) @ unit_rows(seed=4).T, 0.5)
    relational_divergence(similarity, target, 0.5).mean().backward()
    expected = ((similarity / 0.5).softmax(dim=1) - target) / (12 * 0.5)
    torch.testing.assert_close(similarity.grad, expected.detach())


def test_the_whole_loss_equals_the_transcription() -> None:
    student, teacher, labels = unit_rows(seed=1), unit_rows(seed=2), torch.arange(12) // 2
    similarity = batch_similarity(student)
    target = diffused_target(teacher @ teacher.T, weight=0.3)
    ours = multi_similarity(similarity, labels) + 3 / 10 * 1000 * relational_divergence(similarity, target).mean()
    plain = plain_loss(student, teacher, labels, epoch=3, epochs=10, scale=1000, weight=0.3)
    torch.testing.assert_close(ours, plain)
    first = plain_loss(student, teacher, labels, epoch=0, epochs=10, scale=1000, weight=0.3)
    assert first == plain_multi_similarity(student, labels)


def test_half_precision_and_autocast_are_left_at_the_door() -> None:
    rows = unit_rows(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        similarity = batch_similarity(rows)
        target = diffused_target(similarity, weight=0.99)
        loss = relational_divergence(similarity, target)
    assert similarity.dtype == target.dtype == loss.dtype == torch.float32
    assert torch.equal(similarity, rows @ rows.T)
    assert diffused_target((rows @ rows.T).bfloat16(), weight=0.5).dtype == torch.float32


def test_entropy_of_rows_and_wrong_settings() -> None:
    assert row_entropy(torch.full((4, 4), 0.25)).tolist() == pytest.approx([1] * 4)
    assert row_entropy(torch.tensor([[1.0, 0.0]])).item() == 0
    assert row_entropy(torch.tensor([[0.5, 0.5, 0, 0]])).item() == pytest.approx(math.log(2) / math.log(4))
    with pytest.raises(ValueError, match="no fixed point"):
        diffused_target(torch.eye(2), weight=1.0)
    with pytest.raises(ValueError, match="softmax, symmetric, uniform"):
        diffused_target(torch.eye(2), weight=0.5, normalisation="rows")
    assert diffused_target(torch.eye(1), weight=0.5).item() == pytest.approx(1)
