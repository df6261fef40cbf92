"""Learning rates as pure functions of where training stands, and the plan of a run that they follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingPlan:
    """How long, how fast, how often. `batch_size` counts the images of one optimiser step over all ranks.

    `schedule_epochs` those that the rate's fall is made for (0 = `epochs`); `warmup_start`, `floor` shares of `lr`;
    `gamma` is what a milestone leaves of the rate, `decay_floor` what a cosine leaves of every weight decay.
    """

    epochs: int
    batch_size: int
    accum_steps: int
    steps_per_epoch: int
    lr: float
    schedule: str
    warmup_epochs: float
    milestones: tuple[int, ...]
    clip_grad: float
    save_every: int
    monitor_every: int
    seed: int
    schedule_epochs: int = 0
    warmup_start: float = 0.0
    floor: float = 0.0
    gamma: float = 0.1
    decay_floor: float = 1.0

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    def lr_factor(self, step: int) -> float:
        """Share of the peak learning rate at optimiser step `step` (from 0)."""
        return lr_factor(step=step, steps_per_epoch=self.steps_per_epoch, epochs=self.schedule_epochs or self.epochs,
                         kind=self.schedule, warmup_epochs=self.warmup_epochs, milestones=self.milestones,
                         start=self.warmup_start, floor=self.floor, gamma=self.gamma)

    def decay_factor(self, step: int) -> float:
        """Share of the weight decay at optimiser step `step`: 1 to `decay_floor` (or above 1) along a cosine."""
        return self.decay_floor + (1 - self.decay_floor) * cosine(step / max(self.steps, 1))


def cosine(progress: float) -> float:
    """1 at the start, 0 at the end: (1 + cos(pi * progress)) / 2 (Loshchilov & Hutter, arXiv 1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def steps_down(epoch: int, milestones: Sequence[int], factor: float = 0.1) -> float:
    """`factor` to the power of the milestones that `epoch` (from 0) has reached."""
    return factor ** sum(epoch >= milestone for milestone in milestones)


def lr_factor(
    *,
    step: int,
    steps_per_epoch: int,
    epochs: int,
    kind: str,
    warmup_epochs: float = 0.0,
    milestones: Sequence[int] = (),
    start: float = 0.0,
    floor: float = 0.0,
    gamma: float = 0.1,
) -> float:
    """Share of the peak learning rate at optimiser step `step` (from 0).

    `kind`: "cosine" falls with every step, after a linear warm-up; "cosine-epoch" is constant within an epoch and
    reaches 0 in the last one (the public LEAD code); "cosine-moco" is constant within an epoch and begins at the peak
    (MoCo); "cosine-pim" is as long as training although it begins after the warm-up, so that it does not reach its end
    (PIM); "cosine-late" is LCR's BYOL, which asks for the rate of a step only after the step: the first is taken at
    the peak, the second at the warm-up's start; "step" falls to `gamma` at milestones; "constant" does not fall.
    `start` and `floor` are the shares at which the warm-up begins and a cosine ends. `epochs` may exceed those trained.
    """
    if kind == "cosine-late":
        return late_factor(step, steps_per_epoch, epochs, warmup_epochs, start, floor)
    epoch = step // steps_per_epoch
    warmup = int(warmup_epochs * steps_per_epoch)
    if step < warmup:
        return start + (1 - start) * (step + 1) / (warmup + 1)
    if kind == "cosine":
        return floor + (1 - floor) * cosine((step - warmup) / max(epochs * steps_per_epoch - warmup, 1))
    if kind == "cosine-pim":
        return floor + (1 - floor) * cosine((step - warmup) / (epochs * steps_per_epoch))
    if kind == "cosine-epoch":
        return floor + (1 - floor) * cosine((epoch + 1) / epochs)
    if kind == "cosine-moco":
        return floor + (1 - floor) * cosine(epoch / epochs)
    if kind == "step":
        return steps_down(epoch, milestones, gamma)
    if kind == "constant":
        return 1.0
    raise ValueError(f"unknown schedule {kind!r}")


def late_factor(
    step: int, steps_per_epoch: int, epochs: int, warmup_epochs: float, start: float, floor: float
) -> float:
    """"cosine-late": a table of a warm-up (its last entry is the peak) and a cosine, read one step late."""
    if step == 0:
        return 1.0
    place, warmup = step - 1, int(warmup_epochs * steps_per_epoch)
    if place < warmup:
        return start + (1 - start) * place / max(warmup - 1, 1)
    return floor + (1 - floor) * cosine((place - warmup) / max(epochs * steps_per_epoch - warmup, 1))
