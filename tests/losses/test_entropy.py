"""Entropy and gate: analytic values."""

from __future__ import annotations

import math

import pytest
import torch

from losses.entropy import adaptive_gate, entropy, normalised_entropy


def test_uniform_is_one_and_certain_is_zero() -> None:
    log_p = torch.stack([torch.full((5,), -math.log(5)), torch.tensor([0.0, *[-torch.inf] * 4])])
    assert normalised_entropy(log_p).tolist() == pytest.approx([1, 0], abs=1e-6)


def test_two_cells() -> None:
    expected = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert entropy(torch.tensor([[0.9, 0.1]]).log()).item() == pytest.approx(expected, abs=1e-6)


def test_another_class_count_leaves_the_unit_interval() -> None:
    uniform = torch.full((1, 8), -math.log(8))
    assert normalised_entropy(uniform, classes=2).item() == pytest.approx(3, abs=1e-5)


def test_gate_of_a_uniform_and_a_certain_teacher() -> None:
    gate = adaptive_gate(torch.tensor([1.0, 0.5, 0.0], requires_grad=True))
    assert gate.distill.tolist() == [0, 0.75, 1] and gate.contrast.tolist() == [1, 0.25, 0]
    assert not gate.contrast.requires_grad and not gate.distill.requires_grad
