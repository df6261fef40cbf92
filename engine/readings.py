"""What steps say of themselves stays on the device and is read every few steps: with each reading a GPU runs dry.

Until then nothing is known of them, not even that they are numbers; so all is read before anything depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from engine.logger import Logger, Meter
from evaluation.run_record import is_resumable
from methods.method import Clock, LossParts
from runtime import distributed
from runtime.errors import StopTraining
from runtime.files import write_json

CUDA_STEPS = 10  # between readings where the host runs ahead of the device


@dataclass
class Micro:
    """A micro-batch: ids of its images [B] on the host, numbers [K] by name, the first `terms` of which must be finite.

    `numbers` is None until `values` were read.
    """

    index: Tensor
    names: tuple[str, ...]
    terms: int
    values: Tensor
    numbers: dict[str, float] | None = None

    def find_broken(self) -> list[str]:
        """Names of loss terms that are no numbers."""
        return [name for name in self.names[: self.terms] if not math.isfinite((self.numbers or {})[name])]


@dataclass
class StepReading:
    """One optimiser step: where it stood, its learning rate, its micro-batches, and the norm of its gradient.

    `monitor` are per-sample numbers by name, one tensor [B] a micro-batch.
    """

    now: Clock
    rate: float
    micros: list[Micro] = field(default_factory=list)
    monitor: list[Mapping[str, Tensor]] = field(default_factory=list)
    norm: Tensor | None = None

    def means(self) -> dict[str, float]:
        """The mean over micro-batches of each number."""
        meter = Meter()
        for micro in self.micros:
            meter.add(micro.numbers or {})
        return meter.means()


class Readings:
    """The steps since the last reading, at most `every` of them; with 1 each is read before it is learnt from.

    The rest is for the words and the file with which a step is refused that is not made of numbers: the run's `folder`,
    the `names` of its images, its number format, and its `logger`, which a trial has not opened.
    """

    def __init__(self, every: int, folder: Path, names: Sequence[str], number_format: str, logger: Logger) -> None:
        self.every, self.folder, self.names = every, folder, names
        self.number_format, self.logger = number_format, logger
        self.steps: list[StepReading] = []
        self.latest: dict[str, float] = {}

    def begin(self, now: Clock, rate: float) -> None:
        """The next step."""
        self.steps.append(StepReading(now, rate))

    def add(self, loss: LossParts, index: Tensor, monitor: Mapping[str, Tensor]) -> None:
        """Keep what a micro-batch of the step that was begun last says; `index` [B] are its images, on the host."""
        named = {"total": loss.total, **loss.parts, **loss.stats}
        step = self.steps[-1]
        step.micros.append(Micro(index, tuple(named), 1 + len(loss.parts), stack_numbers(named)))
        step.monitor.append({name: values.detach() for name, values in monitor.items()})
        if self.every == 1:
            self.fetch()

    def add_norm(self, norm: Tensor) -> None:
        """Keep the norm [] of the gradient of the step that was begun last."""
        self.steps[-1].norm = norm
        if self.every == 1 and not math.isfinite(norm):
            self._refuse_gradient(self.steps[-1].now)

    def are_due(self) -> bool:
        """Whether as many steps wait as may."""
        return len(self.steps) >= self.every

    def fetch(self) -> None:
        """Read what was not read yet, mean over ranks, in one go; raises StopTraining for a loss that is no number.

        Every rank calls it at the same step.
        """
        unread = [micro for step in self.steps for micro in step.micros if micro.numbers is None]
        if not unread:
            return
        norms = [step.norm.reshape(1) for step in self.steps if step.norm is not None]
        found = distributed.mean(torch.cat([*(micro.values for micro in unread), *norms])).tolist()
        for micro in unread:
            micro.numbers, found = dict(zip(micro.names, found)), found[len(micro.names):]
        for step in self.steps:
            for micro in step.micros:
                self._refuse_nan(micro, step.now)
            if step.norm is not None and not math.isfinite(found.pop(0)):
                self._refuse_gradient(step.now)

    def take(self, meter: Meter) -> list[StepReading]:
        """The steps that were fetched, which wait no longer; `meter` counts their numbers and samples."""
        taken, self.steps = self.steps, []
        for step in taken:
            self.latest = step.means()
            meter.add(self.latest)
        for name in {name: None for step in taken for micro in step.monitor for name in micro}:
            meter.count({name: torch.cat([micro[name] for step in taken for micro in step.monitor if name in micro])})
        return taken

    def say_loss(self) -> str:
        """The loss that was read last, for a progress bar."""
        return f"loss {self.latest['total']:.4f}" if self.latest else "loss not read yet"

    def _refuse_gradient(self, now: Clock) -> None:
        spared = "the weights are untouched, " * (self.every == 1)
        raise StopTraining(f"the gradient of step {now.step} is not finite although the loss is; {spared}"
                           f"{tell_what_helps(self.folder, self.number_format)}")

    def _refuse_nan(self, micro: Micro, now: Clock) -> None:
        """Stop where a loss is not a number; the names of the batch's images are written down."""
        bad = micro.find_broken()
        if not bad:
            return
        path = self.folder / "nan_batch.json"
        shares = distributed.gather_objects([self.names[index] for index in micro.index.tolist()])
        images = [name for share in shares for name in share]
        if distributed.is_main() and self.logger.open:  # a trial leaves nothing behind
            write_json(path, {"terms": bad, "step": now.step, "epoch": now.epoch, "images": images})
        raise StopTraining(
            f"{', '.join(bad)} not finite in epoch {now.epoch + 1}, step {now.step}; the batch's images are named in "
            f"{path}; {tell_what_helps(self.folder, self.number_format)}"
        )


def tell_what_helps(folder: Path, number_format: str) -> str:
    """What is left after a number that is not finite, and how to go on; there may be no checkpoint yet."""
    anew = "start anew with a lower --lr or a higher temperature"
    if not is_resumable(folder):
        return f"no checkpoint was saved yet: {anew}{', or with --precision fp32' * (number_format != 'fp32')}"
    going_on = "continue with --resume --precision fp32, or " * (number_format != "fp32")
    return f"the last checkpoint is untouched: {going_on}{anew} in another --results-dir"


def stack_numbers(named: Mapping[str, Tensor]) -> Tensor:
    """Scalars as float32 [K] on the first one's device; those that lie on the host follow without waiting."""
    device = next(iter(named.values())).device
    return torch.stack([torch.as_tensor(value).detach().to(device, torch.float32, non_blocking=True)
                        for value in named.values()])

