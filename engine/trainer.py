"""The only training loop there is.

schedules -> forward -> check -> backward -> optimiser -> momentum and queues -> log -> checkpoint, one line each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import torch
from torch.nn.parallel import DistributedDataParallel

from datasets.loader import Batch, per_view_seed
from datasets.sampling.batches import Batches
from engine import checkpoint
from engine.gradients.budget import GradientBudget
from engine.logger import Logger, Meter, TimeLeft, WaitTimer, progress
from engine.readings import Readings
from engine.schedule import TrainingPlan
from engine.selection import Kept, Selection
from methods.method import Clock, Method
from runtime import distributed, precision
from runtime.processes.ending import Ending


class Trainer:
    """Trains a Method; `fit` may be killed at any moment and a new Trainer given `resume` continues exactly.

    `state` in a checkpoint: method, optimiser, scaler, step, meter, generators of every rank, log position, identity,
    the best network so far where one is selected, and what a balance of gradients has seen.
    """

    def __init__(
        self,
        method: Method,
        *,
        optimizer: torch.optim.Optimizer,
        batches: Batches,
        loader: Iterable[Batch],
        plan: TrainingPlan,
        device: torch.device,
        number_format: str,
        folder: Path,
        logger: Logger,
        monitor: Callable[[Method, int], dict[str, float]],
        names: list[str],
        identity: dict[str, object],
        selection: Selection | None = None,
        budget: GradientBudget | None = None,
        log_every: int = 1,
        title: str = "training",
    ) -> None:
        self.method, self.optimizer, self.plan = method, optimizer, plan
        self.batches, self.loader = batches, loader
        self.device, self.number_format, self.folder = device, number_format, folder
        self.logger, self.monitor, self.names, self.identity = logger, monitor, names, identity
        self.selection, self.budget, self.title = selection, budget or GradientBudget(method), title
        self.scaler = precision.scaler(device, number_format)
        self.readings = Readings(log_every, folder, names, number_format, logger)
        self.meter, self.step, self.log_position = Meter(), 0, 0
        self.left, self.ending, self.scale = TimeLeft(0, plan.steps), Ending(), self.scaler.get_scale()
        self.module = distributed.wrap(method, device)

    def fit(self) -> None:
        """Train to the last epoch's end; raises StopTraining where that cannot be, EndAsked once all is saved."""
        if self.step == 0:
            checkpoint.refuse_broken(self.method)
        self.logger.start(self.log_position, self.step)
        self.left = TimeLeft(self.step, self.plan.steps)
        with self.ending:
            while self.step < self.plan.steps:
                epoch = self.step // self.plan.steps_per_epoch
                self.train_epoch(epoch)
                self.finish_epoch(epoch)
        self.logger.close()

    def train_epoch(self, epoch: int) -> None:
        """All optimiser steps of `epoch` that are still to be done."""
        plan = self.plan
        done = self.step % plan.steps_per_epoch
        self.method.train()
        self.batches.set(epoch, done * plan.accum_steps)
        bar = progress(plan.steps_per_epoch * plan.batch_size, initial=done * plan.batch_size,
                       text=f"epoch {epoch + 1}/{plan.epochs}: {self.title}", active=distributed.is_main())
        with bar:  # an interrupt leaves no half-drawn line behind
            stream = WaitTimer(self.loader)
            for _ in range(done, plan.steps_per_epoch):
                self.train_step(stream)
                bar.update(plan.batch_size)
                bar.set_postfix_str(f"{self.readings.say_loss()}, waiting for data {stream.share():.0%}, "
                                    f"all epochs in {self.left.say(self.step)}", refresh=False)
                self.save_within_epoch()
        images = (plan.steps_per_epoch - done) * plan.batch_size
        self.logger.write("speed", {"step": self.step, "epoch": epoch, **stream.speed(images)})

    def train_step(self, stream: WaitTimer) -> None:
        """One optimiser step over `accum_steps` micro-batches."""
        plan, now = self.plan, self.clock()
        self.readings.begin(now, self.set_learning_rate(now))
        for micro in range(plan.accum_steps):
            self.seed_step(micro)
            self.accumulate(next(stream), now, last=micro == plan.accum_steps - 1)
        moved = self.update()
        self.method.after_step(now) if moved else self.method.clear_pending()
        self.step += 1
        measured, due = self.budget.finish(), self.budget.is_due(now.step)
        if self.readings.are_due() or due or self.step % plan.steps_per_epoch == 0:
            self.read()
        if due:
            self.logger.write("gradients", {"step": self.step, "epoch": now.epoch, **measured})

    def accumulate(self, batch: Batch, now: Clock, *, last: bool) -> None:
        """Forward and backward of one micro-batch; gradients add up, ranks meet on the last one."""
        on_device = batch.to(self.device, non_blocking=True)
        several = self.module if isinstance(self.module, DistributedDataParallel) else None
        with nullcontext() if last or several is None else several.no_sync():
            with precision.autocast(self.device, self.number_format), self.budget.watch(now.step):
                loss = self.module(on_device, now)
            loss = self.budget.weigh(loss, self.scale)
            self.readings.add(loss, batch.index, self.method.monitor)
            self.logger.images.add(now.step, now.epoch, batch.index, self.method.per_image)
            self.scaler.scale(loss.total / self.plan.accum_steps).backward()

    def update(self) -> bool:
        """The optimiser's step; False when fp16 overflowed and the step was skipped. Raises StopTraining for NaN."""
        self.scaler.unscale_(self.optimizer)
        largest = self.plan.clip_grad or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), largest)
        if not self.scaler.is_enabled():
            self.readings.add_norm(norm)
        before = self.scale
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.scale = self.scaler.get_scale()
        return self.scale >= before

    def read(self) -> None:
        """Log and count the steps that wait on the device; raises StopTraining for what is no number there."""
        self.readings.fetch()
        self.logger.images.read()
        for step in self.readings.take(self.meter):
            row = {"step": step.now.step + 1, "epoch": step.now.epoch, "lr": step.rate}
            self.logger.write("step", {**row, **step.means()})

    def set_learning_rate(self, now: Clock) -> float:
        """Give every group its rate (and decay) at this step; one that has not started has 0. Returns the rate."""
        plan = self.plan
        factor = plan.lr_factor(now.step)
        for group in self.optimizer.param_groups:
            started = now.epoch >= group["start_epoch"]
            group["lr"] = plan.lr * factor * group["lr_scale"] * started
            if plan.decay_floor != 1:
                group["weight_decay"] = group["decay"] * plan.decay_factor(now.step)
        return plan.lr * factor

    def seed_step(self, micro: int) -> None:
        """Whatever a network draws (dropout, mixing) depends on seed, step, micro-batch and rank only."""
        torch.manual_seed(per_view_seed(self.plan.seed, self.step, micro, distributed.rank(), "step"))

    def clock(self) -> Clock:
        """Where training stands."""
        return Clock(self.step, self.plan.steps, self.step // self.plan.steps_per_epoch, self.plan.epochs)

    def finish_epoch(self, epoch: int) -> None:
        """Monitors, the method's own end of epoch, the epoch's line in the log, a checkpoint."""
        plan = self.plan
        row: dict[str, float | list[float]] = {**self.meter.means(), **self.meter.histograms()}
        if plan.monitor_every and ((epoch + 1) % plan.monitor_every == 0 or epoch + 1 == plan.epochs):
            distributed.share_buffers(self.method)
            row |= self.monitor(self.method, epoch)
            if self.selection is not None:
                self.selection.consider(self.method.encoder(), row, epoch)
        self.method.after_epoch(self.clock())
        self.logger.write("epoch", {"step": self.step, "epoch": epoch, **row})
        self.meter = Meter()
        self.save()
        self.ending.obey()

    def save_within_epoch(self) -> None:
        """A checkpoint every `save_every` steps and before an early end, but not where the epoch's own is due."""
        plan, asked = self.plan, self.ending.is_asked(self.step)
        if self.step % plan.steps_per_epoch:
            if asked or (plan.save_every and self.step % plan.save_every == 0):
                self.save()
            self.ending.obey()

    def save(self) -> None:
        """Write the resume state (main process) with every rank's generators, once all that led to it is sound."""
        self.read()
        generators = distributed.gather_objects(checkpoint.rng_state())
        self.logger.images.write()
        if distributed.is_main():
            checkpoint.save(self.folder, self.state(generators))
        distributed.barrier()

    def state(self, generators: list[checkpoint.Generators]) -> checkpoint.ResumeState:
        """Everything that the future of the run depends on."""
        return {
            "method": checkpoint.trained_state(self.method),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "meter": self.meter.state_dict(),
            "step": self.step,
            "log_position": self.logger.position(),
            "generators": generators,
            "identity": self.identity,
            "selection": self.selection.state_dict() if self.selection is not None else {},
            "balance": self.budget.state_dict(),
        }

    def resume(self, state: checkpoint.ResumeState) -> None:
        """Continue where `state` was taken."""
        checkpoint.load_trained_state(self.method, state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty unless the first part of the run was in fp16
            self.scaler.load_state_dict(state["scaler"])
            self.scale = self.scaler.get_scale()
        self.meter.load_state_dict(state["meter"])
        if self.selection is not None:
            self.selection.load_state_dict(cast(Kept, state["selection"]))  # the run is the same, so is what it keeps
        self.budget.load_state_dict(state.get("balance", {}))  # which runs of earlier releases have not
        self.step, self.log_position = state["step"], state["log_position"]
        generators = state["generators"]
        checkpoint.set_rng_state(generators[min(distributed.rank(), len(generators) - 1)])
