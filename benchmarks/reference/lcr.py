"""A plain transcription of LCR's two public paths for one process in fp32: the values to give, the time to beat.

Nothing here is shared with losses/ or methods/. The waste is the public code's too: MoCo's masked contrast that no loss
reads, the gradient of the whole map, a branch that runs three times, maps repeated over all channels.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class ReferenceTerms:
    """A step's self-supervised loss, the CAM term before its weight, their total, and the target G [B, h, w]."""

    ssl: Tensor
    cam: Tensor
    total: Tensor
    target: Tensor


class PlainBranch(nn.Module):
    """Map [B, C, h, w] -> M [B, h, w]: minimum and maximum of the whole batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 32, 1, bias=False)
        self.bn = nn.BatchNorm2d(32)

    def forward(self, features: Tensor) -> Tensor:
        """M of a map."""
        scores = F.relu(self.bn(self.conv(features))).max(dim=1).values
        scores = scores - scores.min()
        return scores / (1e-7 + scores.max())


class ReferenceLcrMoco(nn.Module):
    """`trunk` images -> map [B, C, h, w]. Call it, step the optimiser; the key encoders move at the next call."""

    def __init__(
        self, trunk: nn.Module, channels: int, *, dim: int = 256, queue_size: int = 65536, waste: bool = True
    ) -> None:
        super().__init__()
        self.waste, self.size = waste, queue_size
        self.moco_t, self.moco_m, self.nu = 0.2, 0.999, 0.01
        self.trunk, self.fc = trunk, make_mlp(channels, dim)
        self.trunk_k, self.fc_k = (copy.deepcopy(part).requires_grad_(False) for part in (self.trunk, self.fc))
        self.branch = PlainBranch(channels)
        self.masked_fc = make_mlp(channels, dim)
        self.masked_fc_k = copy.deepcopy(self.masked_fc).requires_grad_(False)
        self.queue = F.normalize(torch.randn(dim, queue_size), dim=0)
        self.masked_queue = F.normalize(torch.randn(dim, queue_size), dim=0)
        self.pointer = 0

    def forward(self, query: Tensor, key: Tensor) -> ReferenceTerms:
        """One step's terms; views are whatever the trunk takes."""
        features = self.trunk(query)
        q = F.normalize(self.fc(features.mean(dim=(2, 3))), dim=1)
        attention = self.branch(features)
        with torch.no_grad():
            self.momentum_update()
            key_features = self.trunk_k(key)
            k = F.normalize(self.fc_k(key_features.mean(dim=(2, 3))), dim=1)
            key_attention = self.branch(key_features)
            self.branch(features)
        logits = self.contrast(q, k, self.queue)
        if self.waste:
            masked_q = self.look_masked(features, attention, self.masked_fc)
            with torch.no_grad():
                masked_k = self.look_masked(key_features, key_attention, self.masked_fc_k)
            self.contrast(masked_q, masked_k, self.masked_queue)
        self.enqueue(k, masked_k if self.waste else None)
        ssl = F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
        target = find_target(ssl, features)
        p, q = F.softmax(target, dim=2), F.softmax(attention, dim=2)
        cam = F.kl_div(torch.log(q), p, reduction="sum")
        return ReferenceTerms(ssl, cam, ssl + self.nu * cam, target)

    def look_masked(self, features: Tensor, attention: Tensor, fc: nn.Module) -> Tensor:
        """Unit rows [B, D] of the masked map."""
        repeated = attention.unsqueeze(1).repeat(1, features.shape[1], 1, 1)
        pooled = F.normalize((repeated * features).mean(dim=(2, 3)), dim=1)
        return F.normalize(fc(pooled), dim=1)

    def contrast(self, q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
        """Logits [B, 1 + K], the positive first."""
        positive = torch.einsum("nc,nc->n", q, k).unsqueeze(1)
        negative = torch.einsum("nc,ck->nk", q, queue.clone().detach())
        return torch.cat([positive, negative], dim=1) / self.moco_t

    @torch.no_grad()
    def momentum_update(self) -> None:
        """Every parameter of the key encoders a thousandth of the way."""
        pairs = [(self.trunk, self.trunk_k), (self.fc, self.fc_k), (self.masked_fc, self.masked_fc_k)]
        for fast, slow in pairs:
            for source, target in zip(fast.parameters(), slow.parameters()):
                target.data = target.data * self.moco_m + source.data * (1 - self.moco_m)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, masked_keys: Tensor | None) -> None:
        """The oldest columns become these keys; the batch must divide the queue."""
        columns = slice(self.pointer, self.pointer + len(keys))
        self.queue[:, columns] = keys.T
        if masked_keys is not None:
            self.masked_queue[:, columns] = masked_keys.T
        self.pointer = (self.pointer + len(keys)) % self.size


class ReferenceLcrByol(nn.Module):
    """`trunk` images -> map [B, C, h, w]. Without `rationale` it is plain BYOL: CAM and its weight are 0."""

    def __init__(
        self, trunk: nn.Module, channels: int, *, dim: int = 256, hidden: int = 4096, rationale: bool = True
    ) -> None:
        super().__init__()
        self.rationale, self.tau, self.weight, self.temperature = rationale, 0.996, 0.01, 0.4
        self.trunk, self.projector = trunk, make_norm_mlp(channels, hidden, dim)
        self.predictor = make_norm_mlp(dim, hidden, dim)
        self.trunk_t, self.projector_t = (copy.deepcopy(part).requires_grad_(False)
                                          for part in (self.trunk, self.projector))
        self.branch = PlainBranch(channels)

    def forward(self, view1: Tensor, view2: Tensor) -> ReferenceTerms:
        """One step's terms; views are whatever the trunk takes."""
        features = self.trunk(view1)
        z1 = self.projector(features.mean(dim=(2, 3)))
        z2 = self.projector(self.trunk(view2).mean(dim=(2, 3)))
        p1, p2 = self.predictor(z1), self.predictor(z2)
        with torch.no_grad():
            self.momentum_update()
            t1 = self.projector_t(self.trunk_t(view1).mean(dim=(2, 3)))
            t2 = self.projector_t(self.trunk_t(view2).mean(dim=(2, 3)))
        ssl = -(F.cosine_similarity(p1, t2).mean() + F.cosine_similarity(p2, t1).mean()) / 2
        if not self.rationale:
            return ReferenceTerms(ssl, torch.zeros(()), ssl, features.detach()[:, 0])
        attention = self.branch(features)
        target = find_target(ssl, features)
        p = F.softmax(target.flatten(1) / self.temperature, dim=1)
        q = F.softmax(attention.flatten(1) / self.temperature, dim=1)
        cam = F.kl_div(torch.log(q), p, reduction="sum")
        return ReferenceTerms(ssl, cam, ssl + self.weight * cam, target)

    @torch.no_grad()
    def momentum_update(self) -> None:
        """Every parameter of the target a little of the way."""
        for fast, slow in ((self.trunk, self.trunk_t), (self.projector, self.projector_t)):
            for source, target in zip(fast.parameters(), slow.parameters()):
                target.data = target.data * self.tau + source.data * (1 - self.tau)


def find_target(ssl: Tensor, features: Tensor) -> Tensor:
    """G [B, h, w]: the map times the gradient of the mean loss at the whole map, which is a constant."""
    (gradient,) = torch.autograd.grad(ssl, features, retain_graph=True, create_graph=False)
    return F.relu((features * gradient).sum(dim=1))


def find_default_cam(losses: Tensor, features: Tensor, branch: PlainBranch, temperature: float = 0.1) -> Tensor:
    """Our correction, image after image: per-sample losses [B], map, branch -> the mean KL []."""
    (gradient,) = torch.autograd.grad(losses.sum(), features, retain_graph=True)
    scores = F.relu(branch.bn(branch.conv(features))).max(dim=1).values
    found = []
    for b in range(len(features)):
        target = F.relu((features[b] * gradient[b]).sum(dim=0)).detach()
        above = scores[b] - scores[b].min()
        attention = above / (above.max() + 1e-7)
        log_q = F.log_softmax(attention.flatten() / temperature, dim=0)
        if target.max() == 0:
            found.append(0 * log_q.sum())
            continue
        p = F.softmax(target.flatten() / (target.max() * temperature), dim=0)
        found.append(torch.special.xlogy(p, p).sum() - (p * log_q).sum())
    return torch.stack(found).mean()


def make_mlp(channels: int, dim: int) -> nn.Sequential:
    """MoCo v2's head."""
    return nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, dim))


def make_norm_mlp(width: int, hidden: int, dim: int) -> nn.Sequential:
    """BYOL's projector or predictor."""
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, dim))


class PlainLars:
    """The public code's LARS: no velocity is ever stored, and every parameter asks the device for its norms."""

    def __init__(self, module: nn.Module, *, lr: float = 0.15, decay: float = 1.5e-6) -> None:
        self.parameters, self.lr, self.decay = [p for p in module.parameters() if p.requires_grad], lr, decay

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for weight in self.parameters:
            if weight.grad is None:
                continue
            if weight.ndim < 2:
                weight.data = weight.data - self.lr * weight.grad
                continue
            change = weight.grad + self.decay * weight.data
            size, slope = torch.norm(weight.data), torch.norm(change)
            trust = 1e-3 * size / slope if size > 0 and slope > 0 else 1.0
            weight.data = weight.data - self.lr * trust * change
