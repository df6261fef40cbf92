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
from engine.logger import Logger, Meter, TimeLeft, WaitTimer, progress, read_loss
from engine.schedule import TrainingPlan
from engine.selection import Kept, Selection
from evaluation.run_record import is_resumable
from methods.method import Clock, Method
from runtime import distributed, precision
from runtime.errors import StopTraining
from runtime.files import write_json
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
        title: str = "training",
    ) -> None:
        self.method, self.optimizer, self.plan = method, optimizer, plan
        self.batches, self.loader = batches, loader
        self.device, self.number_format, self.folder = device, number_format, folder
        self.logger, self.monitor, self.names, self.identity = logger, monitor, names, identity
        self.selection, self.budget, self.title = selection, budget or GradientBudget(method), title
        self.scaler = precision.scaler(device, number_format)
        self.meter, self.step, self.log_position = Meter(), 0, 0
        self.left, self.ending = TimeLeft(0, plan.steps), Ending()
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
                numbers = self.train_step(stream)
                bar.update(plan.batch_size)
                bar.set_postfix_str(f"loss {numbers['total']:.4f}, waiting for data {stream.share():.0%}, "
                                    f"all epochs in {self.left.say(self.step)}", refresh=False)
                self.save_within_epoch()
        images = (plan.steps_per_epoch - done) * plan.batch_size
        self.logger.write("speed", {"step": self.step, "epoch": epoch, **stream.speed(images)})

    def train_step(self, stream: WaitTimer) -> dict[str, float]:
        """One optimiser step over `accum_steps` micro-batches; the mean of its numbers."""
        plan, now = self.plan, self.clock()
        rate = self.set_learning_rate(now)
        step_meter = Meter()
        for micro in range(plan.accum_steps):
            self.seed_step(micro)
            step_meter.add(self.accumulate(next(stream), now, last=micro == plan.accum_steps - 1))
            self.meter.count(self.method.monitor)
        moved = self.update()
        self.method.after_step(now) if moved else self.method.clear_pending()
        self.step += 1
        numbers = step_meter.means()
        self.meter.add(numbers)
        self.logger.write("step", {"step": self.step, "epoch": now.epoch, "lr": rate, **numbers})
        measured = self.budget.finish()
        if self.budget.is_due(now.step):
            self.logger.write("gradients", {"step": self.step, "epoch": now.epoch, **measured})
        return numbers

    def accumulate(self, batch: Batch, now: Clock, *, last: bool) -> dict[str, float]:
        """Forward and backward of one micro-batch; gradients add up, ranks meet on the last one."""
        on_device = batch.to(self.device, non_blocking=True)
        several = self.module if isinstance(self.module, DistributedDataParallel) else None
        with nullcontext() if last or several is None else several.no_sync():
            with precision.autocast(self.device, self.number_format), self.budget.watch(now.step):
                loss = self.module(on_device, now)
            loss = self.budget.weigh(loss, self.scaler.get_scale())
            numbers = read_loss(loss)
            self.refuse_nan({name: numbers[name] for name in ("total", *loss.parts)}, batch, now)
            self.logger.images.add(now.step, now.epoch, batch.index, self.method.per_image)
            self.scaler.scale(loss.total / self.plan.accum_steps).backward()
        return numbers

    def update(self) -> bool:
        """The optimiser's step; False when fp16 overflowed and the step was skipped. Raises StopTraining for NaN."""
        self.scaler.unscale_(self.optimizer)
        largest = self.plan.clip_grad or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), largest)
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            raise StopTraining(f"the gradient of step {self.step} is not finite although the loss is; the weights "
                               f"are untouched, {self.tell_what_helps()}")
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return self.scaler.get_scale() >= before

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

    def refuse_nan(self, terms: dict[str, float], batch: Batch, now: Clock) -> None:
        """Stop before a loss that is not a number reaches the weights; the batch's image names are written down."""
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if not bad:
            return
        path = self.folder / "nan_batch.json"
        shares = distributed.gather_objects([self.names[index] for index in batch.index.tolist()])
        images = [name for share in shares for name in share]
        if distributed.is_main() and self.logger.open:  # a trial leaves nothing behind
            write_json(path, {"terms": bad, "step": now.step, "epoch": now.epoch, "images": images})
        raise StopTraining(
            f"{', '.join(bad)} not finite in epoch {now.epoch + 1}, step {now.step}; the batch's images are named in "
            f"{path}; {self.tell_what_helps()}"
        )

    def tell_what_helps(self) -> str:
        """What is left after a number that is not finite, and how to go on; there may be no checkpoint yet."""
        anew = "start anew with a lower --lr or a higher temperature"
        if not is_resumable(self.folder):
            return f"no checkpoint was saved yet: {anew}{', or with --precision fp32' * (self.number_format != 'fp32')}"
        going_on = "continue with --resume --precision fp32, or " * (self.number_format != "fp32")
        return f"the last checkpoint is untouched: {going_on}{anew} in another --results-dir"

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
        """Write the resume state (main process) once every rank has handed in its generators."""
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
        self.meter.load_state_dict(state["meter"])
        if self.selection is not None:
            self.selection.load_state_dict(cast(Kept, state["selection"]))  # the run is the same, so is what it keeps
        self.budget.load_state_dict(state.get("balance", {}))  # which runs of earlier releases have not
        self.step, self.log_position = state["step"], state["log_position"]
        generators = state["generators"]
        checkpoint.set_rng_state(generators[min(distributed.rank(), len(generators) - 1)])
