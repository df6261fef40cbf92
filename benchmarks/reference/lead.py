"""A plain transcription of LEAD++ for one process in fp32: the values our method must give, the time it must beat.

Nothing here is shared with losses/ or methods/. `recipe` "seed" follows the public code's arithmetic (six passes, a
teacher with autograd); "default" follows the corrected arithmetic, sample by sample, in the most literal way.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class ReferenceTerms:
    """The terms of one step before the weights of the total, and per-sample teacher entropies [B]."""

    loss1: Tensor
    loss2: Tensor
    loss3: Tensor
    cam: Tensor
    distill: Tensor
    total: Tensor
    entropy: Tensor


class PlainEncoder(nn.Module):
    """`trunk` images -> map [B, C, h, w]; `fc` the MLP on the global average."""

    def __init__(self, trunk: nn.Module, channels: int, dim: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.fc = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, dim))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, C, h, w] and unit rows [B, D]."""
        features = self.trunk(images)
        return features, F.normalize(self.fc(features.mean(dim=(2, 3))), dim=1)


class ReferenceLead(nn.Module):
    """`teacher` images -> features [B, D]; `prototypes` [C, D] unit rows. Call it, step the optimiser, `finish`."""

    def __init__(
        self,
        trunk: nn.Module,
        channels: int,
        teacher: nn.Module,
        prototypes: Tensor,
        *,
        recipe: Literal["default", "seed"],
        queue_size: int = 65536,
        num_classes: int | None = None,
        tau: float = 0.02,
    ) -> None:
        super().__init__()
        self.recipe, self.tau, self.size = recipe, tau, queue_size
        self.alpha, self.beta, self.moco_t, self.moco_m, self.tau_c = 0.5, 20.0, 0.27, 0.999, 0.1
        self.teacher, self.prototypes = teacher, prototypes
        self.num_classes = num_classes or len(prototypes)
        self.encoder_q = PlainEncoder(trunk, channels, prototypes.shape[1])
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.conv16 = nn.Conv2d(channels, 32, 1, bias=False)
        self.bn16 = nn.BatchNorm2d(32)
        self.queue1 = F.normalize(torch.randn(queue_size, prototypes.shape[1]), dim=1)
        self.queue2 = F.normalize(torch.randn(queue_size, prototypes.shape[1]), dim=1)
        self.ids1, self.ids2 = torch.full((queue_size,), -1), torch.full((queue_size,), -1)
        self.pointer1 = self.pointer2 = 0
        self.waiting: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, v1: Tensor, v2: Tensor, v3: Tensor, v4: Tensor, ids: Tensor) -> ReferenceTerms:
        """One step's terms; views are whatever trunk and teacher take."""
        if self.recipe == "seed":
            return self.seed_step(v1, v2, v3, v4, ids)
        return self.default_step(v1, v2, v3, v4, ids)

    def finish(self) -> None:
        """After the optimiser's step; only the default recipe has something left to do."""
        if self.recipe == "default":
            self.momentum_update()
            for keys2, keys4, ids in self.waiting:
                self.enqueue1(keys2, ids)
                self.enqueue2(keys4, ids)
        self.waiting = []

    # ---- the public code's arithmetic ----

    def seed_step(self, v1: Tensor, v2: Tensor, v3: Tensor, v4: Tensor, ids: Tensor) -> ReferenceTerms:
        """Three passes of a query and a key encoder; queue2 holds k4 when the third term reads it."""
        teacher = F.normalize(self.teacher(v3), dim=1)
        _, q1, k2 = self.seed_pass(v1, v2)
        loss1 = self.seed_info_nce(q1, k2, self.queue1)
        self.enqueue1(k2, ids)
        _, q1, k4 = self.seed_pass(v1, v4)
        loss2 = self.seed_info_nce(q1, k4, self.queue2)
        self.enqueue2(k4, ids)
        map3, q3, k4 = self.seed_pass(v3, v4)
        loss3 = self.seed_info_nce(q3, k4, self.queue2)

        p_t = F.softmax(teacher @ self.prototypes.T / self.tau, dim=1)
        p_s = F.softmax(q3 @ self.prototypes.T / self.tau, dim=1)
        with torch.no_grad():
            h = -(p_t * p_t.log()).sum(dim=1) / math.log(self.num_classes)
        w_con, w_dis = h**2, 1 - h**2
        kl = (p_t * (p_t.log() - p_s.log())).sum(dim=1)
        distill = self.beta / len(self.prototypes) * (w_dis * kl).sum()
        one, two, three = ((w_con * loss).mean() for loss in (loss1, loss2, loss3))
        contrast = self.alpha * (one + 0.1 * two + three)
        cam = self.seed_cam(contrast, map3)
        total = contrast + 0.001 * self.alpha * cam + distill
        return ReferenceTerms(one, two, three, cam, distill, total, h)

    def seed_pass(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, momentum update, key."""
        features, q = self.encoder_q(query)
        self.momentum_update()
        with torch.no_grad():
            _, k = self.encoder_k(key)
        return features, q, k

    def seed_info_nce(self, q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
        """Cross entropy [B] of the positive against the whole queue."""
        positive = (q * k).sum(dim=1, keepdim=True)
        negative = q @ queue.clone().detach().T
        logits = torch.cat([positive, negative], dim=1) / self.moco_t
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device), reduction="none")

    def seed_cam(self, contrast: Tensor, map3: Tensor) -> Tensor:
        """Softmax over the columns of each row, target attached, everything summed."""
        (gradient,) = torch.autograd.grad(contrast, map3, retain_graph=True)
        target = F.relu((map3 * gradient).sum(dim=1))
        scores = F.relu(self.bn16(self.conv16(map3))).max(dim=1).values
        scores = scores - scores.min()
        attention = scores / (1e-7 + scores.max())
        p, q = F.softmax(target, dim=2), F.softmax(attention, dim=2)
        return (p * (p.log() - q.log())).sum()

    # ---- the corrected arithmetic ----

    def default_step(self, v1: Tensor, v2: Tensor, v3: Tensor, v4: Tensor, ids: Tensor) -> ReferenceTerms:
        """One pass for each view, one sample after the other."""
        with torch.no_grad():
            teacher = F.normalize(self.teacher(v3), dim=1)
            _, k2 = self.encoder_k(v2)
            _, k4 = self.encoder_k(v4)
        _, q1 = self.encoder_q(v1)
        map3, q3 = self.encoder_q(v3)
        self.waiting.append((k2, k4, ids))

        first = [self.one_info_nce(q1[b], k2[b], self.queue1, self.ids1, ids[b]) for b in range(len(ids))]
        second = [self.one_info_nce(q1[b], k4[b], self.queue2, self.ids2, ids[b]) for b in range(len(ids))]
        third = [self.one_info_nce(q3[b], k4[b], self.queue2, self.ids2, ids[b]) for b in range(len(ids))]
        gate = [self.one_entropy(teacher[b]) for b in range(len(ids))]
        kls = [self.one_kl(teacher[b], q3[b]) for b in range(len(ids))]

        batch, classes = len(ids), len(self.prototypes)
        one, two, three = (
            add_up(h**2 * loss for h, loss in zip(gate, some)) / batch for some in (first, second, third))
        distill = self.beta * 32 / classes * add_up((1 - h**2) * kl for h, kl in zip(gate, kls)) / batch
        cam = self.default_cam(add_up(third), map3)
        contrast = self.alpha * (one + 0.1 * two + three)
        total = contrast + 32 * 0.001 * self.alpha * cam + distill
        return ReferenceTerms(one, two, three, cam, distill, total, torch.stack(gate))

    def one_info_nce(self, q: Tensor, k: Tensor, queue: Tensor, queue_ids: Tensor, image: Tensor) -> Tensor:
        """-log of the positive's share, over keys of other images."""
        positive = torch.exp(q @ k / self.moco_t)
        others = [torch.exp(q @ queue[j] / self.moco_t) for j in range(len(queue)) if queue_ids[j] != image]
        return -torch.log(positive / (positive + add_up(others)))

    def one_entropy(self, teacher: Tensor) -> Tensor:
        """Entropy of one teacher answer over log C."""
        log_p = F.log_softmax(self.prototypes @ teacher / self.tau, dim=0)
        return -add_up(value.exp() * value for value in log_p) / math.log(len(self.prototypes))

    def one_kl(self, teacher: Tensor, student: Tensor) -> Tensor:
        """KL(teacher || student) of one sample over the prototypes."""
        log_t = F.log_softmax(self.prototypes @ teacher / self.tau, dim=0)
        log_s = F.log_softmax(self.prototypes @ student / self.tau, dim=0)
        return add_up(t.exp() * (t - s) for t, s in zip(log_t, log_s))

    def default_cam(self, loss3: Tensor, map3: Tensor) -> Tensor:
        """Mean over the batch of KL between peak-scaled activation and per-image attention, over all positions."""
        (gradient,) = torch.autograd.grad(loss3, map3, retain_graph=True)
        scores = F.relu(self.bn16(self.conv16(map3))).max(dim=1).values
        losses = []
        for b in range(len(map3)):
            activation = F.relu((map3[b] * gradient[b]).sum(dim=0)).detach()
            above = scores[b] - scores[b].min()
            attention = above / (1e-7 + above.max())
            if activation.max() == 0:
                losses.append(0 * attention.sum())
                continue
            p = F.softmax(activation.flatten() / (activation.max() * self.tau_c), dim=0)
            log_q = F.log_softmax(attention.flatten() / self.tau_c, dim=0)
            losses.append(
                add_up(p[n] * (p[n].log() - log_q[n]) if p[n] > 0 else 0 * log_q[n] for n in range(len(p))))
        return add_up(losses) / len(losses)

    # ---- both ----

    @torch.no_grad()
    def momentum_update(self) -> None:
        """Every parameter of the key encoder a thousandth of the way."""
        for slow, fast in zip(self.encoder_k.parameters(), self.encoder_q.parameters()):
            slow.data = slow.data * self.moco_m + fast.data * (1 - self.moco_m)

    def enqueue1(self, keys: Tensor, ids: Tensor) -> None:
        """Key after key into queue 1."""
        for key, image in zip(keys, ids):
            self.queue1[self.pointer1], self.ids1[self.pointer1] = key, image
            self.pointer1 = (self.pointer1 + 1) % self.size

    def enqueue2(self, keys: Tensor, ids: Tensor) -> None:
        """Key after key into queue 2."""
        for key, image in zip(keys, ids):
            self.queue2[self.pointer2], self.ids2[self.pointer2] = key, image
            self.pointer2 = (self.pointer2 + 1) % self.size


def add_up(values: Iterable[Tensor]) -> Tensor:
    """One after the other, as a loop would."""
    return reduce(torch.add, values, torch.zeros(()))
