"""Distillation between class heads: what a student's logits lack of a teacher's (DeiT, arXiv 2012.12877)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from losses.distillation import kl_divergence


def hard_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy with the teacher's first choice: logits [B, K] twice -> float32 [B]; the teacher gets no gradient.

    The choice is not smoothed.
    """
    return F.cross_entropy(student.float(), teacher.detach().argmax(dim=1), reduction="none")


def soft_distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """tau^2 KL(teacher || student) of the softened answers (arXiv 1503.02531): logits [B, K] twice -> float32 [B].

    The teacher gets no gradient. The mean over B is the "batch-mean" reduction.
    """
    log_target = (teacher.detach().float() / temperature).log_softmax(dim=1)
    log_prediction = (student.float() / temperature).log_softmax(dim=1)
    return temperature**2 * kl_divergence(log_target, log_prediction)


def legacy_soft_distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """`soft_distillation` divided by the number of classes K, as DeiT's public code has it."""
    return soft_distillation(student, teacher, temperature) / student.shape[1]
