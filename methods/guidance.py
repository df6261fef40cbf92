"""What follows from a teacher's answers about a batch, and how several sets of prototypes become one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from losses.entropy import adaptive_gate


@dataclass(frozen=True)
class Guidance:
    """What follows from the teacher's answers: `contrast` [B] the weights of the contrastive terms, `distill` [] the
    distillation term, `entropy` [B] in [0, 1] of each answer, `stats` and, of single images [B], `per_image` to log.
    """

    contrast: Tensor
    distill: Tensor
    entropy: Tensor
    stats: dict[str, Tensor]
    per_image: dict[str, Tensor]


def join_per_image(parts: list[Guidance]) -> dict[str, Tensor]:
    """What several sets of prototypes say of each image: means, and the nearest prototypes of the first set."""
    said = [part.per_image for part in parts]
    means = {name: torch.stack([one[name] for one in said]).mean(dim=0)
             for name, values in said[0].items() if values.is_floating_point()}
    return said[0] | means | {"contrast": adaptive_gate(means["entropy"]).contrast}
