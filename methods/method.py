"""The contract between a method and the engine: what a paper must say so that one loop can train it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import Tensor, nn

from datasets.loader import Batch
from datasets.sampling.batches import Batches
from datasets.views.recipes import View
from models.network import OutputNetwork


@dataclass(frozen=True)
class Clock:
    """Where training stands, in optimiser steps (not micro-batches)."""

    step: int
    steps: int
    epoch: int
    epochs: int

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        return self.step / max(self.steps, 1)


@dataclass
class LossParts:
    """A step's loss: `total` is minimised, `parts` are its named float32 terms, `stats` detached numbers worth logging.

    Terms and stats are scalars. A term is logged as it enters `total`'s formula before its weight.
    """

    total: Tensor
    parts: dict[str, Tensor]
    stats: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class ParamGroup:
    """Parameters that share a learning rate (times `lr_scale`), a weight decay, and a first epoch.

    Before `start_epoch` the learning rate is 0: the parameters stay in the graph, so that DDP's reducer is content.
    `weight_decay` None means the run's own.
    """

    params: list[nn.Parameter]
    lr_scale: float = 1.0
    weight_decay: float | None = None
    start_epoch: int = 0


class Method(nn.Module, ABC):
    """A published system: views in, named loss terms out. The engine does everything else.

    `couples_batch`: the loss is not a mean over samples, so accumulation would change it.
    `frozen`: names of submodules that never learn and stay out of checkpoints.
    `loss_terms` and `shares`: what curves.png and report.html draw, in this order: terms, and numbers in [0, 1].
    `sides`: loss terms by what they follow, "distillation" a teacher's answers, "contrast" other images; the engine
    can hold the two in balance.
    `monitor`: per-sample numbers [B] in [0, 1] of the last forward, by name; the engine makes histograms of them.
    `per_image`: numbers or ids [B] of the last forward's images, by name; they are logged image by image.
    """

    couples_batch: bool = False
    frozen: tuple[str, ...] = ()
    loss_terms: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    sides: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    monitor: Mapping[str, Tensor] = MappingProxyType({})
    per_image: Mapping[str, Tensor] = MappingProxyType({})

    @abstractmethod
    def views(self) -> dict[str, View]:
        """The views of one image that `forward` expects, by name."""

    @abstractmethod
    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        """The step's loss; the one call that DDP wraps. Keeps what `after_step` needs in `self.pending`."""

    @abstractmethod
    def encoder(self) -> OutputNetwork:
        """The network that is worth keeping: what export writes and evaluation reads."""

    def sampler(self, labels: Tensor, batch_size: int) -> Batches | None:
        """This rank's batches of `batch_size` images with these labels [N], or None for shuffled images."""
        return None

    def param_groups(self) -> list[ParamGroup]:
        """What the optimiser may change."""
        return [ParamGroup([p for p in self.parameters() if p.requires_grad])]

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Features for evaluation by name ("backbone", "masked", "head"): uint8 [B, 3, H, W] -> float32 [B, D]."""
        return self.encoder().outputs(images)

    def after_step(self, clock: Clock) -> None:
        """Called after a real optimiser step only: momentum update, enqueue all of `pending`, clear it."""

    def clear_pending(self) -> None:
        """Called when a step is skipped: forget what `forward` kept."""

    def after_epoch(self, clock: Clock) -> None:
        """Called after an epoch's monitors."""


def split_groups(method: nn.Module, backbone: nn.Module, lr_scale: float, start_epoch: int) -> list[ParamGroup]:
    """The backbone, at its share of the rate and from its first epoch on, and everything else that learns."""
    trunk = [p for p in backbone.parameters() if p.requires_grad]
    known = {id(p) for p in trunk}
    rest = [p for p in method.parameters() if p.requires_grad and id(p) not in known]
    return [ParamGroup(trunk, lr_scale=lr_scale, start_epoch=start_epoch), ParamGroup(rest)]
