"""From options to a run that can train, once for every command: a System says what differs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from timm.layers import convert_sync_batchnorm
from torch.optim import Optimizer

from datasets.crops import Crops
from datasets.images import ImageSet
from datasets.loader import Loader, count_workers, make_loader
from datasets.places import RUN_FILES, list_overlaps
from datasets.sampling.batches import Batches, EpochBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from engine import checkpoint
from engine.batch_norm import check_batch_norm, shares_statistics
from engine.flags.layering import Command
from engine.gradients.balance import Balance
from engine.gradients.budget import SIDES, GradientBudget, find_meeting
from engine.identity import describe_run
from engine.logger import Logger
from engine.options import EncoderTrainingOptions, TrainingOptions
from engine.readings import CUDA_STEPS
from engine.schedule import TrainingPlan
from engine.selection import Selection
from engine.trainer import Trainer
from engine.workflows.run import Run
from evaluation.run_record import is_resumable, write_args
from methods.method import Method
from models.backbones import Backbone, build_backbone, list_learning_norms
from models.present import check_architecture
from models.sizes import check_size
from runtime import distributed, precision
from runtime.devices import use_threads
from runtime.errors import ConfigError, Problems, refuse
from runtime.files import need_disk
from runtime.options import name_flags


@dataclass(kw_only=True)
class Inputs:
    """What a run reads from disk before its first step: images to learn from, their batches, crops where there are any.

    A system adds its own: networks, teachers, images to measure.
    """

    train: ImageSet
    batches: Batches
    crops: Crops | None = None


@dataclass(frozen=True)
class Start:
    """Where a run begins: on which device, from which saved state (None for a new one), and what makes it this run."""

    device: torch.device
    saved: checkpoint.ResumeState | None
    identity: dict[str, Any]


Told = TypeVar("Told", bound=TrainingOptions)
Read = TypeVar("Read", bound=Inputs)


@dataclass(frozen=True)
class System(Generic[Told, Read]):
    """What one published system does its own way, in the order in which it is asked.

    `command` makes options of a command line: parser, presets, checks. `read` raises one error that names all that is
    wrong with what lies on disk; `adapt` settles what only the images can tell; `method` builds networks and losses.
    """

    command: Command[Told]
    read: Callable[[Told, Problems], Read]
    method: Callable[[Told, Read, Start], Method]
    optimizer: Callable[[Told, Method], Optimizer]
    plan: Callable[[Told, int], TrainingPlan]
    monitor: Callable[[Told, Read, torch.device, str], Callable[[Method, int], dict[str, float]]]
    selection: Callable[[Told], Selection | None]
    run: Callable[[Told, Trainer, Read], Run]
    adapt: Callable[[Told, Read, Start], Told] = lambda options, inputs, start: options


def build(system: System[Told, Read], options: Told, device: torch.device) -> Run:
    """Everything that `options` ask for, checked and ready to train; raises one error that names every problem."""
    use_threads(options.threads)
    torch.manual_seed(options.seed)
    folder, problems = Path(options.results_dir), Problems()
    problems.lines += list_overlaps(options, RUN_FILES)
    saved = problems.attempt(lambda: find_saved(options))
    inputs = system.read(options, problems)
    problems.refuse()
    identity = describe_run(options, inputs.train, inputs.crops, device, saved)
    start = Start(device, saved, identity)
    options = system.adapt(options, inputs, start)
    method = move_to_device(system.method(options, inputs, start), options, device)
    check_batch_norm(options, method)  # heads and modules have batch norms of their own
    check_accumulation(options, method)
    check_budget(options, method)
    batches = method.sampler(inputs.train.labels, inputs.batches.batch_size) or inputs.batches
    selection = system.selection(options)
    if options.plan != "stop":
        folder.mkdir(parents=True, exist_ok=True)
    refuse(need_disk(folder, checkpoint_bytes(method, selecting=selection is not None)) if saved is None else [])
    number_format = str(identity["precision"] or choose_training_precision(options, method, device))
    identity["precision"] = number_format
    method = share_statistics(options, method, device)  # last: timing a copy on one rank must not wait for the others
    trainer = Trainer(
        method, optimizer=system.optimizer(options, method), batches=batches,
        loader=load(options, inputs, method, batches, device), plan=make_plan(system, options, batches),
        device=device, number_format=number_format, folder=folder,
        logger=Logger(folder, sinks=options.sinks, active=distributed.is_main(), name=folder.name),
        monitor=system.monitor(options, inputs, device, number_format),
        names=[sample.key for sample in inputs.train.samples], identity=identity, selection=selection,
        budget=GradientBudget(method, options.gradient_every, Balance(options.balance) if options.balance else None),
        log_every=options.log_every or (CUDA_STEPS if device.type == "cuda" else 1),
        title=f"{options.method} trains {options.network_name}")
    if saved is not None:
        trainer.resume(saved)
    if distributed.is_main() and options.plan != "stop":
        write_args(folder, options)
    return system.run(options, trainer, inputs)


def find_saved(options: TrainingOptions) -> checkpoint.ResumeState | None:
    """The resume state that `--resume` asks for; raises ConfigError when a run would be overwritten without it."""
    folder = Path(options.results_dir)
    if options.resume is None:
        if is_resumable(folder):
            raise ConfigError(f"{folder} holds a run already; go on with --resume, or choose another --results-dir")
        return None
    return checkpoint.load_state(folder if options.resume == "auto" else Path(options.resume))


def make_batches(options: TrainingOptions, count: int) -> EpochBatches:
    """This rank's shuffled micro-batches; raises ConfigError when the batch cannot be shared out."""
    shares = distributed.world() * options.accum_steps
    if options.batch_size % shares:
        raise ConfigError(f"--batch-size {options.batch_size} cannot be cut into {distributed.world()} processes x "
                          f"{options.accum_steps} micro-batches; use a multiple of {shares}")
    if count < options.batch_size:
        raise ConfigError(f"{count} training images are fewer than one batch of {options.batch_size}; "
                          f"lower --batch-size to at most {count // shares * shares}")
    return EpochBatches(count, options.batch_size // shares, seed=options.seed, rank=distributed.rank(),
                        world=distributed.world())


def check_accumulation(options: TrainingOptions, method: Method) -> None:
    """Raise ConfigError when a batch may not be cut; say it when batch statistics will be those of its parts."""
    if options.accum_steps == 1:
        return
    if method.couples_batch:
        raise ConfigError(f"--accum-steps {options.accum_steps}: {options.method}'s loss depends on which images share "
                          "a batch, so that cutting it would change the loss; use 1")
    if list_learning_norms(method) and distributed.is_main():
        share = options.batch_size // (distributed.world() * options.accum_steps)
        print(f"note: batch statistics are those of {share} images at a time, not of a whole step's", file=sys.stderr)


def check_budget(options: TrainingOptions, method: Method) -> None:
    """Raise ConfigError where loss terms whose gradients are asked for meet nowhere, or have no two sides."""
    asked = [f"--gradient-every {options.gradient_every}"] * bool(options.gradient_every)
    asked += [f"--balance {options.balance:g}"] * bool(options.balance)
    if asked and find_meeting(method) is None:
        raise ConfigError(f"{', '.join(asked)}: the loss terms of {options.method} meet in no single map; leave it out")
    if options.balance and not all(method.sides.get(side) for side in SIDES):
        raise ConfigError(f"--balance {options.balance:g}: {options.method} has no {' and '.join(SIDES)} to hold in "
                          f"balance{' with --alpha 0' * bool(method.sides)}; leave it out")


def move_to_device(method: Method, options: TrainingOptions, device: torch.device) -> Method:
    """The method on its device, in its memory format."""
    method = method.to(device)
    return method.to(memory_format=torch.channels_last) if options.channels_last else method


def share_statistics(options: TrainingOptions, method: Method, device: torch.device) -> Method:
    """Batch norm over all CUDA ranks if asked. timm's conversion keeps the activations that its layers carry."""
    return convert_sync_batchnorm(method) if shares_statistics(options, device.type) else method


def choose_training_precision(options: TrainingOptions, method: Method, device: torch.device) -> str:
    """The number format of the run: measured on the main process where `--precision auto`, then told to all."""
    if not distributed.is_main():
        return distributed.broadcast_object("")  # the main process has the word
    share = options.batch_size // (distributed.world() * options.accum_steps)
    batch = min(share, 8 if device.type == "cpu" else 64)  # a GPU is not busy with 8 images, a CPU is
    chosen, seconds = precision.choose_fastest_format(method.encoder(), options.size, device, batch)
    print(f"precision {chosen}: " + ", ".join(f"{name} {1000 * took:.0f} ms" for name, took in seconds.items())
          + f" for a training step of {batch} images")
    return distributed.broadcast_object(chosen)


def load(
    options: TrainingOptions, inputs: Inputs, method: Method, batches: Batches, device: torch.device
) -> Loader:
    """Batches of the method's views of the training images."""
    views = ViewSet(inputs.train, stand_in(method.views(), inputs.crops), crops=inputs.crops, seed=options.seed,
                    crop_bottom=options.crop_bottom)
    return make_loader(views, batches, workers=count_workers(options.num_workers),
                       pin=options.pin_mem and device.type == "cuda")


def stand_in(views: dict[str, View], crops: Crops | None) -> dict[str, View]:
    """The views; where there are no crops (`--crop-root none`) whole images stand in for them."""
    if crops is not None:
        return views
    return {name: replace(view, source="full") for name, view in views.items()}


def make_plan(system: System[Told, Read], options: Told, batches: Batches) -> TrainingPlan:
    """The system's plan for so many batches an epoch; raises ConfigError when they make no step."""
    steps = len(batches) // options.accum_steps
    if not steps:
        raise ConfigError(f"{len(batches)} batches an epoch make no step of --accum-steps {options.accum_steps}")
    return system.plan(options, steps)


def checkpoint_bytes(method: Method, *, selecting: bool = False) -> int:
    """Room for two resume states (weights, momenta, queues, the best network where one is selected) and the exports."""
    size = sum(value.numel() * value.element_size() for value in method.state_dict().values())
    return (10 if selecting else 6) * size


def build_student(options: EncoderTrainingOptions) -> Backbone:
    """The network that learns, with its start weights; raises WeightsError."""
    check_architecture(options, "arch")
    with name_flags(options, "pretrained"):
        backbone = build_backbone(options.arch, options.pretrained)
    check_size(backbone, options.size)
    if not options.max_pool:
        with name_flags(options, "max_pool"):
            backbone.skip_max_pool()
    return backbone
