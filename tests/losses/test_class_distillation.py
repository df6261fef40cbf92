"""Distillation losses against closed forms written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from losses.class_distillation import hard_distillation, legacy_soft_distillation, soft_distillation

STUDENT = torch.tensor([[math.log(2.0), 0.0], [0.0, math.log(3.0)]])  # probabilities (2/3, 1/3) and (1/4, 3/4)
TEACHER = torch.tensor([[0.0, 0.0], [math.log(4.0), 0.0]])  # (1/2, 1/2) and (4/5, 1/5)


def test_hard_is_the_surprise_at_the_teachers_choice() -> None:
    expected = torch.tensor([-math.log(2 / 3), -math.log(1 / 4)])  # of two equal answers the first is chosen
    torch.testing.assert_close(hard_distillation(STUDENT, TEACHER), expected)


def test_soft_is_the_divergence_from_the_teacher() -> None:
    first = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    second = 0.8 * math.log(0.8 / 0.25) + 0.2 * math.log(0.2 / 0.75)
    torch.testing.assert_close(soft_distillation(STUDENT, TEACHER), torch.tensor([first, second]))


def test_temperature_softens_both_and_keeps_the_gradients_size() -> None:
    found = soft_distillation(STUDENT, TEACHER, 2.0)
    roots = [[math.sqrt(2), 1], [1, math.sqrt(3)]], [[1, 1], [2, 1]]
    (s, t) = (torch.tensor(rows, dtype=torch.float64) for rows in roots)
    s, t = s / s.sum(1, keepdim=True), t / t.sum(1, keepdim=True)
    torch.testing.assert_close(found, (4 * (t * (t / s).log()).sum(1)).float())


@pytest.mark.parametrize("classes", [2, 200])
def test_legacy_is_batch_mean_over_classes(classes: int) -> None:
    student, teacher = torch.randn(5, classes), torch.randn(5, classes)
    legacy = legacy_soft_distillation(student, teacher, 3.0).mean()
    log_s, log_t = (student / 3).log_softmax(1), (teacher / 3).log_softmax(1)
    published = torch.nn.functional.kl_div(log_s, log_t, reduction="sum", log_target=True) * 9 / log_s.numel()
    torch.testing.assert_close(legacy, published)
    torch.testing.assert_close(legacy * classes, soft_distillation(student, teacher, 3.0).mean())


@pytest.mark.parametrize("loss", [hard_distillation, soft_distillation, legacy_soft_distillation])
def test_only_the_student_gets_a_gradient_and_numbers_are_float32(loss) -> None:
    student, teacher = (torch.randn(3, 4, dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    value = loss(student, teacher)
    value.sum().backward()
    assert value.dtype == torch.float32 and student.grad.abs().sum() > 0 and teacher.grad is None
