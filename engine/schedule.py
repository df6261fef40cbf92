"""Learning rates as pure functions of where training stands."""

from __future__ import annotations

import math
from collections.abc import Sequence


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
) -> float:
    """Share of the peak learning rate at optimiser step `step` (from 0).

    `kind`: "cosine" falls with every step, after a linear warm-up; "cosine-epoch" is constant within an epoch and
    reaches 0 in the last one (the public LEAD code); "step" falls at milestones; "constant" does not fall.
    """
    epoch = step // steps_per_epoch
    warmup = int(warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if kind == "cosine":
        return cosine((step - warmup) / max(epochs * steps_per_epoch - warmup, 1))
    if kind == "cosine-epoch":
        return cosine((epoch + 1) / epochs)
    if kind == "step":
        return steps_down(epoch, milestones)
    if kind == "constant":
        return 1.0
    raise ValueError(f"unknown schedule {kind!r}")
