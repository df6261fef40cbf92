"""What the metric losses have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from losses.metric.mining import Triplets, Tuples

Mined = Triplets | Tuples | None


class Criterion(nn.Module, ABC):
    """A loss of a labelled batch of embeddings; parameters of its own are trained beside the network.

    `miners` names those it can be used with, the first being its default; () needs none. `rate` is the learning rate
    of its parameters, or, where it is None, `rate_scale` their share of the network's.
    """

    miners: tuple[str, ...] = ()
    rate: float | None = None
    rate_scale: float = 1.0

    @abstractmethod
    def forward(
        self, embeddings: Tensor, labels: Tensor, mined: Mined = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Embeddings [B, D] and labels [B] of a batch -> scalar; 0 with a zero gradient where nothing was mined.

        `generator` (of the CPU) is for what the loss draws itself.
        """


def mean_or_zero(values: Tensor, embeddings: Tensor) -> Tensor:
    """The mean, or a 0 that depends on the embeddings when there are no values."""
    return values.mean() if len(values) else 0 * embeddings.sum()


def mean_norm(embeddings: Tensor) -> Tensor:
    """mean length of the embeddings: [B, D] -> scalar."""
    return embeddings.norm(dim=1).mean()
