"""Prototype distillation: analytic values, gradients, and why the logarithm is taken before rounding."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from losses.distillation import cosine_distance, kl_divergence, prototype_log_probabilities


def test_kl_of_identical_rows_is_zero() -> None:
    log_p = torch.randn(3, 6).log_softmax(dim=1)
    assert kl_divergence(log_p, log_p).tolist() == [0, 0, 0]


def test_kl_takes_the_first_argument_as_target() -> None:
    target, prediction = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()
    expected = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    assert kl_divergence(target, prediction).item() == pytest.approx(expected, abs=1e-6)
    assert kl_divergence(target, prediction).item() == pytest.approx(0.3681, abs=1e-4)
    assert kl_divergence(prediction, target).item() != pytest.approx(0.3681, abs=1e-2)


def test_log_probabilities_are_cosines_over_the_temperature() -> None:
    features, rows = F.normalize(torch.randn(3, 4), dim=1), F.normalize(torch.randn(5, 4), dim=1)
    log_p = prototype_log_probabilities(features, rows, 0.1)
    for b in range(3):
        weights = [math.exp(float(features[b] @ row) / 0.1) for row in rows]
        assert log_p[b].exp().tolist() == pytest.approx([w / sum(weights) for w in weights], abs=1e-5)


@pytest.mark.parametrize("log_of_softmax", [False, True])
def test_wide_cosine_gaps_stay_finite_only_in_log_space(log_of_softmax: bool) -> None:
    student = torch.tensor([[1.0, 0.0]], requires_grad=True)
    rows, temperature = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 0.01
    log_s = prototype_log_probabilities(student, rows, temperature, log_of_softmax=log_of_softmax)
    kl_divergence(torch.tensor([[0.5, 0.5]]).log(), log_s).sum().backward()
    assert bool(torch.isfinite(student.grad).all()) is not log_of_softmax
    assert log_s[0, 1].item() == pytest.approx(-torch.inf if log_of_softmax else -200, abs=1e-3)


def test_gradient_pulls_the_student_to_the_teacher() -> None:
    student, target = torch.randn(2, 6, requires_grad=True), torch.randn(2, 6).softmax(dim=1)
    kl_divergence(target.log(), student.log_softmax(dim=1)).sum().backward()
    torch.testing.assert_close(student.grad, student.detach().softmax(dim=1) - target, atol=1e-6, rtol=0)


def test_cosine_distance() -> None:
    left, right = torch.tensor([[2.0, 0], [1, 0], [1, 0]]), torch.tensor([[1.0, 0], [0, 3], [-1, 0]])
    assert cosine_distance(left, right).tolist() == pytest.approx([0, 1, 2], abs=1e-6)
