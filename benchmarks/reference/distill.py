"""A plain transcription of a step of distillation in fp32: the teacher is asked in the loop, its answer in NCHW.

Nothing here is shared with losses/ or methods/. As in the public code the loss is read in every step.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReferenceDistill(nn.Module):
    """`student`: images -> (class logits, distillation logits), `teacher`: images -> logits. Smoothed labels.

    `kind` is "hard" or "soft"; soft is divided by the number of classes, too, unless `per_image`.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module, *, kind: str = "hard", alpha: float = 0.5, tau: float = 1.0,
        smoothing: float = 0.1, per_image: bool = False,
    ) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher.eval()
        self.kind, self.alpha, self.tau, self.smoothing, self.per_image = kind, alpha, tau, smoothing, per_image

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch."""
        classes, distilled = self.student(images)
        with torch.no_grad():
            told = self.teacher(images)
        log_p = F.log_softmax(classes, dim=-1)
        own = -log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
        base = ((1 - self.smoothing) * own - self.smoothing * log_p.mean(dim=-1)).mean()
        if self.kind == "hard":
            taught = F.cross_entropy(distilled, told.argmax(dim=1))
        else:
            log_s, log_t = (F.log_softmax(logits / self.tau, dim=1) for logits in (distilled, told))
            count = len(images) if self.per_image else distilled.numel()
            taught = F.kl_div(log_s, log_t, reduction="sum", log_target=True) * self.tau**2 / count
        return base * (1 - self.alpha) + taught * self.alpha


def step_plainly(system: ReferenceDistill, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> float:
    """One optimiser step; the loss, which must be finite."""
    loss = system(images, labels)
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss is {value}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return value
