"""OBD-SD as its equations read and as its public code trains: anchor after anchor, a dense inverse, nothing kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    """Mean over rows of KL(target || student): unit rows [B, D], probabilities [B, B] -> scalar."""
    prediction = F.log_softmax(student @ student.T / tau, dim=1)
    return (target * (torch.log(target) - prediction)).sum() / len(student)


def plain_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, epoch: int, epochs: int, scale: float, weight: float,
    walk_temperature: float = 1.0, tau: float = 1.0,
) -> Tensor:
    """The whole loss of a step: multi-similarity plus the ramped divergence; `scale` is lambda, `weight` omega."""
    target = plain_diffused_target(teacher.detach(), weight, walk_temperature, tau)
    distilled = plain_divergence(student, target, tau)
    return plain_multi_similarity(student, labels) + epoch / epochs * scale * tau**2 * distilled


class ReferenceObdSd(nn.Module):
    """A network with frozen batch statistics and the network of the last epoch, here its copy.

    `trunk` takes images to a map [B, C, h, w]; `forward` gives the loss of a step in the second of two epochs, with the
    published settings of CUB-200.
    """

    def __init__(self, trunk: nn.Module, channels: int, dim: int = 128) -> None:
        super().__init__()
        self.trunk, self.embedding = trunk, nn.Linear(channels, dim)
        for module in trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        self.trunk_t, self.embedding_t = (copy.deepcopy(part).requires_grad_(False)
                                          for part in (self.trunk, self.embedding))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of images in the trunk's own format [B, 3, H, W] with their labels [B]."""
        student = F.normalize(self.embedding(self.trunk(images).mean(dim=(2, 3))), dim=1)
        with torch.no_grad():
            teacher = F.normalize(self.embedding_t(self.trunk_t(images).mean(dim=(2, 3))), dim=1)
        return plain_loss(student, teacher, labels, epoch=1, epochs=2, scale=1000.0, weight=0.3)


def make_plain_step(system: ReferenceObdSd, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """One step with Adam; as in the public code, all gradients are copied to the host and their size is noted."""
    learning = [parameter for parameter in system.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=1e-5, weight_decay=4e-4)
    noted: list[tuple[float, float]] = []

    def step() -> None:
        optimizer.zero_grad()
        system(images, labels).backward()
        gradients = np.concatenate([weight.grad.detach().cpu().numpy().flatten() for weight in learning
                                    if weight.grad is not None])
        noted.append((float(np.sqrt(np.mean(np.square(gradients)))), float(np.max(np.abs(gradients)))))
        optimizer.step()

    return step
