"""Some steps of a run on a copy of it: how long one takes, and how much memory. The run itself does not notice."""

from __future__ import annotations

import copy
import os
import resource
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from engine import checkpoint
from engine.logger import Logger, WaitTimer
from engine.trainer import Trainer
from runtime import precision

TIMED = 2  # steps that count, after one that does not: it allocates, chooses kernels, and waits for loader processes


@dataclass(frozen=True)
class Trial:
    """What timed steps took.

    `seconds` of a step, `waiting` the share of it that went into waiting for data, `memory` bytes at the peak of `room`
    bytes there are in `place`.
    """

    seconds: float
    waiting: float
    steps: int
    memory: int
    room: int
    place: str


def rehearse(trainer: Trainer) -> Trial | None:
    """Time the next steps of the run on a copy of all that they change; None where the epoch has none left.

    Every rank calls it. Generators are put back, and the loader begins anew when it is asked the next time.
    """
    plan, done = trainer.plan, trainer.step % trainer.plan.steps_per_epoch
    count = 0 if trainer.step >= plan.steps else min(TIMED + 1, plan.steps_per_epoch - done)
    if not count:
        return None
    generators = checkpoint.rng_state()
    try:
        return time_steps(trainer, done, count)
    finally:
        checkpoint.set_rng_state(generators)
        if trainer.device.type == "cuda":
            torch.cuda.empty_cache()


def time_steps(trainer: Trainer, done: int, count: int) -> Trial:
    """`count` steps from the epoch's step `done` on; the first of several is not counted."""
    before = measure_memory(trainer.device)
    twin = copy_trainer(trainer)
    extra = measure_memory(trainer.device) - before if trainer.device.type == "cuda" else count_bytes(twin)
    if trainer.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(trainer.device)
    twin.method.train()
    twin.batches.set(trainer.step // trainer.plan.steps_per_epoch, done * trainer.plan.accum_steps)
    stream = WaitTimer(trainer.loader)
    seconds, waited = [], []
    for _ in range(count):
        start = stream.waited
        seconds.append(precision.clock(partial(twin.train_step, stream), trainer.device))
        waited.append(stream.waited - start)
    twin.read()  # what is broken in so few steps is said now
    timed, waits = seconds[min(1, count - 1):], waited[min(1, count - 1):]
    room, place = find_room(trainer.device)
    return Trial(sum(timed) / len(timed), sum(waits) / sum(timed), len(timed),
                 max(measure_most(trainer.device) - extra, 0), room, place)


def copy_trainer(trainer: Trainer) -> Trainer:
    """A trainer of a copy of network and optimiser that writes nothing; what never learns is shared with the run."""
    parts = dict(trainer.method.named_modules())
    known: dict[int, object] = {id(parts[name]): parts[name] for name in trainer.method.frozen if name in parts}
    method, budget = copy.deepcopy((trainer.method, trainer.budget), known)
    optimizer = copy_optimizer(trainer.optimizer, known)
    folder = trainer.folder if trainer.folder.is_dir() else Path(tempfile.gettempdir())
    twin = Trainer(method, optimizer=optimizer, batches=trainer.batches, loader=trainer.loader, plan=trainer.plan,
                   device=trainer.device, number_format=trainer.number_format, folder=folder,
                   logger=Logger(folder, active=False), monitor=trainer.monitor, names=trainer.names,
                   identity=trainer.identity, budget=budget, log_every=trainer.readings.every)
    twin.step = trainer.step
    return twin


def copy_optimizer(optimizer: torch.optim.Optimizer, known: dict[int, object]) -> torch.optim.Optimizer:
    """A copy over the copied parameters, which are `known`. torch's own copies lose what a subclass adds."""
    twin: torch.optim.Optimizer = object.__new__(type(optimizer))
    vars(twin).update(copy.deepcopy(vars(optimizer), known))
    return twin


def count_bytes(twin: Trainer) -> int:
    """Bytes of what the copy has of its own."""
    frozen = checkpoint.frozen_prefixes(twin.method)
    return sum(value.numel() * value.element_size() for name, value in twin.method.state_dict().items()
               if not (frozen and name.startswith(frozen)))


def measure_memory(device: torch.device) -> int:
    """Bytes that are in use on a CUDA device now; 0 on a CPU, which does not tell."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def measure_most(device: torch.device) -> int:
    """Most bytes that were in use: on a CUDA device since the steps began, on a CPU by this process in its life."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def find_room(device: torch.device) -> tuple[int, str]:
    """How many bytes there are, and where."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory, torch.cuda.get_device_name(device)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "this machine"
