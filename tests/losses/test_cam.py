"""The activation map from a pooled gradient, and how attention is fitted to it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from losses.cam import activation_map, fit_cam, fit_cam_attached, map_log_softmax, scale_to_peak


def make_map(count: int = 3) -> Tensor:
    return torch.randn(count, 6, 4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_pooled_gradient_gives_the_gradient_of_the_map() -> None:
    features = make_map()
    head = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    pooled = features.mean(dim=(2, 3))
    loss = 1000 * head(pooled).square().sum()
    of_map, of_pooled = torch.autograd.grad(loss, (features, pooled))
    expected = (features * of_map).sum(dim=1).relu()
    torch.testing.assert_close(activation_map(features, of_pooled), expected, atol=1e-6, rtol=1e-5)
    assert expected.max() > 0.01


def test_gradient_is_a_constant_and_the_map_stays_attached() -> None:
    features, gradient = make_map(), torch.randn(3, 6, requires_grad=True)
    activation_map(features, gradient).sum().backward()
    assert gradient.grad is None and features.grad.abs().max() > 0


def test_softmax_runs_over_positions_or_over_rows() -> None:
    scores = torch.randn(2, 3, 4)
    assert map_log_softmax(scores, 0.5).shape == (2, 1, 12)
    torch.testing.assert_close(map_log_softmax(scores, 0.5).exp().sum(dim=-1), torch.ones(2, 1))
    rows = map_log_softmax(scores, rows=True)
    torch.testing.assert_close(rows, scores.log_softmax(dim=2))


def test_peak_is_one_and_zero_stays_zero() -> None:
    scaled = scale_to_peak(torch.stack([torch.tensor([[1e-9, 3e-9]]), torch.zeros(1, 2)]))
    assert scaled.flatten().tolist() == pytest.approx([1 / 3, 1, 0, 0])


def test_attention_equal_to_the_target_costs_nothing() -> None:
    activation = torch.rand(2, 4, 4) + 0.1
    fit = fit_cam(activation * 1e-4, scale_to_peak(activation), 0.1)
    assert fit.loss.tolist() == pytest.approx([0, 0], abs=1e-6)


def test_two_cells_have_the_known_divergence() -> None:
    attention = torch.zeros(1, 1, 2)
    temperature = 1 / math.log(9)  # a peak-scaled (1, 0) becomes P = (.9, .1)
    fit = fit_cam(torch.tensor([[[5.0, 0.0]]]), attention, temperature)
    assert fit.loss.item() == pytest.approx(0.3681, abs=1e-4)


def test_target_does_not_depend_on_the_loss_scale_and_carries_no_gradient() -> None:
    activation, attention = torch.rand(3, 4, 4, requires_grad=True), torch.rand(3, 4, 4, requires_grad=True)
    small, large = fit_cam(activation * 1e-12, attention, 0.1), fit_cam(activation, attention, 0.1)
    torch.testing.assert_close(small.loss, large.loss)
    large.loss.sum().backward()
    assert activation.grad is None and attention.grad.abs().max() > 0


def test_a_silent_map_drops_out() -> None:
    attention = torch.rand(2, 3, 3, requires_grad=True)
    fit = fit_cam(torch.stack([torch.zeros(3, 3), torch.rand(3, 3)]), attention, 0.1)
    fit.loss.sum().backward()
    assert fit.valid.tolist() == [False, True] and fit.loss[0] == 0 and fit.loss[1] > 0
    assert attention.grad[0].abs().max() == 0 and attention.grad[1].abs().max() > 0


def test_rows_are_summed_and_the_target_is_attached() -> None:
    activation, attention = torch.rand(2, 3, 4, requires_grad=True), torch.rand(2, 3, 4)
    fit = fit_cam_attached(activation, attention, rows=True)
    p, q = activation.softmax(dim=2), attention.softmax(dim=2)
    torch.testing.assert_close(fit.loss, (p * (p / q).log()).sum(dim=(1, 2)), atol=1e-6, rtol=1e-5)
    fit.loss.sum().backward()
    assert activation.grad.abs().max() > 0


def test_published_target_is_uniform_and_ours_is_not() -> None:
    tiny = torch.rand(2, 7, 7) * 1e-4
    assert fit_cam_attached(tiny, torch.rand(2, 7, 7), rows=True).target_entropy.min() > 1 - 1e-6
    assert fit_cam(tiny, torch.rand(2, 7, 7), 0.1).target_entropy.max() < 0.95


def test_positions_of_the_published_byol_path() -> None:
    activation, attention = torch.rand(2, 3, 4, requires_grad=True), torch.rand(2, 3, 4)
    fit = fit_cam_attached(activation, attention, 0.4)
    p, q = ((scores.flatten(1) / 0.4).softmax(dim=1) for scores in (activation, attention))
    torch.testing.assert_close(fit.loss, (p * (p / q).log()).sum(dim=1), atol=1e-6, rtol=1e-5)
    fit.loss.sum().backward()
    assert activation.grad.abs().max() > 0
