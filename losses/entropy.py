"""How sure a teacher is, and what follows: distil where it is confident, contrast where it is not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gate:
    """Weights of each sample, both [B] in [0, 1] when the entropy is: `contrast` = h^2, `distill` = 1 - h^2."""

    contrast: Tensor
    distill: Tensor


def entropy(log_p: Tensor) -> Tensor:
    """Shannon entropy in nats over the last axis of log-probabilities: [..., C] -> float32 [...]; 0 log 0 is 0."""
    return torch.special.entr(log_p.float().exp()).sum(dim=-1)


def normalised_entropy(log_p: Tensor, classes: int | None = None) -> Tensor:
    """Entropy over its maximum log C, in [0, 1]: [..., C] -> float32 [...].

    `classes` divides by log(classes) instead of log C, which leaves [0, 1] when the two differ (the public LEAD code).
    """
    return entropy(log_p) / math.log(classes or log_p.shape[-1])


def adaptive_gate(uncertainty: Tensor) -> Gate:
    """Weights that follow a normalised entropy h [B]; they carry no gradient."""
    squared = uncertainty.detach().float().square()
    return Gate(contrast=squared, distill=1 - squared)
