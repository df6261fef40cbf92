"""OBD-SD as its equations read: anchor after anchor, a dense inverse, nothing vectorised and nothing kept."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def plain_multi_similarity(
    embeddings: Tensor, labels: Tensor, pos_weight: float = 2.0, neg_weight: float = 40.0, margin: float = 0.1,
    threshold: float = 0.5,
) -> Tensor:
    """The multi-similarity loss of rows [B, D], one anchor at a time; 0 when no anchor has what it needs."""
    similarity = embeddings @ embeddings.T
    labels = labels.cpu()
    losses = []
    for i in range(len(labels)):
        same = labels == labels[i]
        same[i] = False
        other = labels != labels[i]
        positive, negative = similarity[i][same], similarity[i][other]
        if len(positive) == 0 or len(negative) == 0:
            continue
        near = negative[negative + margin > positive.min()]
        far = positive[positive - margin < negative.max()]
        if len(near) == 0 or len(far) == 0:
            continue
        pull = torch.log(1 + torch.exp(-pos_weight * (far - threshold)).sum()) / pos_weight
        push = torch.log(1 + torch.exp(neg_weight * (near - threshold)).sum()) / neg_weight
        losses.append(pull + push)
    return torch.stack(losses).mean() if losses else 0 * embeddings.sum()


def plain_diffused_target(teacher: Tensor, weight: float, walk_temperature: float = 1.0, tau: float = 1.0) -> Tensor:
    """The target of OBDP from the teacher's unit rows [B, D], through the inverse of the Laplacian: [B, B]."""
    similarity = teacher @ teacher.T
    identity = torch.eye(len(teacher), dtype=teacher.dtype)
    walk = F.softmax((similarity - 1e9 * identity) / walk_temperature, dim=1)
    closed = (1 - weight) * torch.inverse(identity - weight * walk)
    return closed @ F.softmax(similarity / tau, dim=1)


def plain_symmetric_target(teacher: Tensor, weight: float, tau: float = 1.0) -> Tensor:
    """The target as the paper writes it, entry by entry: rows [B, D] -> [B, B]."""
    similarity = teacher @ teacher.T
    size = len(teacher)
    affinity = torch.zeros_like(similarity)
    for i in range(size):
        for j in range(size):
            if i != j:
                affinity[i, j] = max(similarity[i, j].item(), 0.0)
    degree = affinity.sum(dim=1) + 1e-12
    normal = torch.zeros_like(affinity)
    for i in range(size):
        for j in range(size):
            normal[i, j] = affinity[i, j] / math.sqrt(degree[i] * degree[j])
    closed = (1 - weight) * torch.inverse(torch.eye(size, dtype=teacher.dtype) - weight * normal)
    return F.softmax(closed @ similarity / tau, dim=1)


def plain_divergence(student: Tensor, target: Tensor, tau: float = 1.0) -> Tensor:
    """Mean over rows of KL(target || student), row by row: unit rows [B, D], probabilities [B, B] -> scalar."""
    total = torch.zeros((), dtype=student.dtype)
    for i in range(len(student)):
        prediction = F.softmax(student[i] @ student.T / tau, dim=0)
        total = total + (target[i] * (torch.log(target[i]) - torch.log(prediction))).sum()
    return total / len(student)


def plain_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, epoch: int, epochs: int, scale: float, weight: float,
    walk_temperature: float = 1.0, tau: float = 1.0,
) -> Tensor:
    """The whole loss of a step: multi-similarity plus the ramped divergence; `scale` is lambda, `weight` omega."""
    target = plain_diffused_target(teacher.detach(), weight, walk_temperature, tau)
    distilled = plain_divergence(student, target, tau)
    return plain_multi_similarity(student, labels) + epoch / epochs * scale * tau**2 * distilled
