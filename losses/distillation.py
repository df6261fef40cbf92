"""Distillation through prototypes: teacher and student each say how close they are to every row of one matrix."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def prototype_log_probabilities(
    features: Tensor, prototypes: Tensor, temperature: float | Tensor, *, log_of_softmax: bool = False
) -> Tensor:
    """log softmax(f W^T / tau): unit vectors [B, D], [M, D] -> float32 [B, M].

    `log_of_softmax` takes the logarithm of the rounded softmax as the public LEAD code does: imprecise in the tail and
    -inf for cosine gaps beyond about 100 tau.
    """
    logits = features.float() @ prototypes.float().T / temperature
    return logits.softmax(dim=1).log() if log_of_softmax else logits.log_softmax(dim=1)


def kl_divergence(log_target: Tensor, log_prediction: Tensor) -> Tensor:
    """KL(target || prediction) in nats over the last axis of log-probabilities: [..., C] twice -> float32 [...]."""
    return F.kl_div(log_prediction.float(), log_target.float(), reduction="none", log_target=True).sum(dim=-1)


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos of each pair of vectors, in [0, 2]: [B, D] twice -> float32 [B]."""
    return 1 - F.cosine_similarity(student.float(), teacher.float(), dim=1)
