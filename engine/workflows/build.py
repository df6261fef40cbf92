"""From flags to a run: what stands before the first step, checked and put together."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from timm.layers import convert_sync_batchnorm

from datasets.crops import Crops, open_crops
from datasets.images import ImageSet, load_images, sample_images
from datasets.layouts.read import read_listing
from datasets.loader import count_workers, make_loader
from datasets.places import RUN_FILES, list_overlaps
from datasets.sampling.batches import Batches, EpochBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from engine import checkpoint
from engine.batch_norm import check_batch_norm, shares_statistics
from engine.flags.pretrain.checks import check_pretrain_sources
from engine.identity import describe_run
from engine.logger import Logger
from engine.monitor import Monitor
from engine.optimizer import build_optimizer, peak_lr
from engine.schedule import TrainingPlan
from engine.trainer import Trainer
from engine.workflows.pretrain.guidance import build_guide, teacher_precision
from engine.workflows.pretrain.head import initialise_head
from engine.workflows.pretrain.system import build_pretrain_method, build_student, load_validation
from engine.workflows.run import Run
from evaluation.run_record import is_resumable, write_args
from methods.method import Method
from models.backbones import list_learning_norms
from runtime import distributed, precision
from runtime.errors import ConfigError, Problems, refuse
from runtime.files import need_disk


def build_run(args: argparse.Namespace, device: torch.device) -> Run:
    """Everything that `args` asks for, checked and ready to train; raises one error that names every problem."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder = Path(args.results_dir)
    problems = Problems()
    problems.lines += list_overlaps(args, RUN_FILES)
    saved = problems.attempt(lambda: find_saved(args, folder))
    images = problems.attempt(lambda: load_images(args.root, "train", skip_bad=args.skip_bad, labels="ignored",
                                                  crop_bottom=args.crop_bottom))
    if args.test and images:
        problems.attempt(lambda: read_listing(args.root))
    crops = problems.attempt(lambda: open_crops(args, images))
    batches = problems.attempt(lambda: make_batches(args, len(images))) if images else None
    problems.attempt(lambda: check_pretrain_sources(args))
    backbone = problems.attempt(lambda: build_student(args))
    if backbone is not None:
        problems.attempt(lambda: check_batch_norm(args, backbone, frozen=args.frozen_bn))
    validation = problems.attempt(lambda: load_validation(args)) if args.monitor_retrieval else None
    problems.refuse()
    identity = describe_run(args, images, crops, device, saved)
    folder.mkdir(parents=True, exist_ok=True)
    guide = build_guide(args, images, crops, device, saved) if args.method == "lead" else None
    identity["teacher_precision"] = teacher_precision(guide)
    method = move_to_device(build_pretrain_method(args, len(images), backbone, guide), args, device)
    check_batch_norm(args, method)  # the heads have batch norms of their own
    refuse(need_disk(folder, checkpoint_bytes(method)) if saved is None else [])
    if args.accum_steps > 1:
        check_accumulation(method, args)
    if args.method == "lead" and args.head_start == "least-squares" and saved is None:
        initialise_head(method, args, images, crops, device)
    batches = method.sampler(images.labels, batches.batch_size) or batches
    identity["precision"] = identity["precision"] or choose_training_precision(args, method, device)
    method = share_statistics(method, args, device)  # last: timing a copy on one rank must not wait for the others
    trainer = make_trainer(args, method, images, crops, batches, device, folder, identity, validation)
    if saved is not None:
        trainer.resume(saved)
    if distributed.is_main():
        write_args(folder / "args.json", args)
    return Run(args, trainer, images, folder)


def find_saved(args: argparse.Namespace, folder: Path) -> dict[str, object] | None:
    """The resume state that `--resume` asks for; raises ConfigError when a run would be overwritten without it."""
    if args.resume is None:
        if is_resumable(folder):
            raise ConfigError(f"{folder} holds a run already; go on with --resume, or choose another --results-dir")
        return None
    source = folder if args.resume == "auto" else Path(args.resume)
    return checkpoint.load_state(source)


def make_batches(args: argparse.Namespace, count: int) -> EpochBatches:
    """This rank's shuffled micro-batches; raises ConfigError when the batch cannot be shared out."""
    shares = distributed.world() * args.accum_steps
    if args.batch_size % shares:
        raise ConfigError(f"--batch-size {args.batch_size} cannot be cut into {distributed.world()} processes x "
                          f"{args.accum_steps} micro-batches; use a multiple of {shares}")
    if count < args.batch_size:
        raise ConfigError(f"{count} training images are fewer than one batch of {args.batch_size}; "
                          f"lower --batch-size to at most {count // shares * shares}")
    return EpochBatches(count, args.batch_size // shares, seed=args.seed, rank=distributed.rank(),
                        world=distributed.world())


def check_accumulation(method: Method, args: argparse.Namespace) -> None:
    """Raise ConfigError when a batch may not be cut; say it when batch statistics will be those of its parts."""
    if method.couples_batch:
        raise ConfigError(f"--accum-steps {args.accum_steps}: {args.method}'s loss depends on which images share a "
                          "batch, so that cutting it would change the loss; use 1")
    if list_learning_norms(method) and distributed.is_main():
        share = args.batch_size // (distributed.world() * args.accum_steps)
        print(f"note: batch statistics are those of {share} images at a time, not of a whole step's", file=sys.stderr)


def move_to_device(method: Method, args: argparse.Namespace, device: torch.device) -> Method:
    """The method on its device, in its memory format."""
    return method.to(device, memory_format=torch.channels_last) if args.channels_last else method.to(device)


def share_statistics(method: Method, args: argparse.Namespace, device: torch.device) -> Method:
    """Batch norm over all CUDA ranks if asked. timm's conversion keeps the activations that its layers carry."""
    if shares_statistics(args, device.type):
        return convert_sync_batchnorm(method)
    return method


def choose_training_precision(args: argparse.Namespace, method: Method, device: torch.device) -> str:
    """The number format of the run: measured on the main process where `--precision auto`, then told to all."""
    if not distributed.is_main():
        return distributed.broadcast_object(None)
    share = args.batch_size // (distributed.world() * args.accum_steps)
    batch = min(share, 8 if device.type == "cpu" else 64)  # a GPU is not busy with 8 images, a CPU is
    chosen, seconds = precision.choose_fastest_format(method.encoder(), args.size, device, batch)
    print(f"precision {chosen}: " + ", ".join(f"{name} {1000 * took:.0f} ms" for name, took in seconds.items())
          + f" for a training step of {batch} images")
    return distributed.broadcast_object(chosen)


def make_trainer(
    args: argparse.Namespace, method: Method, images: ImageSet, crops: Crops | None, batches: Batches,
    device: torch.device, folder: Path, identity: dict[str, object], validation: ImageSet | None = None,
) -> Trainer:
    """Data, optimiser, log and monitors around a method."""
    views = stand_in(method.views(), crops)
    dataset = ViewSet(images, views, crops=crops, seed=args.seed, crop_bottom=args.crop_bottom)
    loader = make_loader(dataset, batches, workers=count_workers(args.num_workers), pin=device.type == "cuda")
    monitor = Monitor(sample_images(images, args.monitor_images), View("full", "eval", args.size), device,
                      identity["precision"], crop_bottom=args.crop_bottom, workers=count_workers(args.num_workers),
                      knn_k=args.knn_k, knn_temperature=args.knn_t, validation=validation)
    sinks = tuple(name for name in args.logger.split(",") if name)
    logger = Logger(folder, sinks=sinks, active=distributed.is_main(), name=folder.name)
    return Trainer(method, optimizer=build_optimizer(args, method), batches=batches, loader=loader,
                   plan=make_training_plan(args, len(batches) // args.accum_steps), device=device,
                   number_format=identity["precision"], folder=folder, logger=logger, monitor=monitor,
                   names=[sample.key for sample in images.samples], identity=identity)


def stand_in(views: dict[str, View], crops: Crops | None) -> dict[str, View]:
    """The views; where there are no crops (`--crop-root none`) whole images stand in for them."""
    if crops is not None:
        return views
    return {name: replace(view, source="full") for name, view in views.items()}


def make_training_plan(args: argparse.Namespace, steps_per_epoch: int) -> TrainingPlan:
    """The trainer's share of the flags."""
    kind = args.schedule_kind if args.cos else "step"
    first = 1 if args.method == "lead" else 0  # LEAD's public code counts epochs from 1, MoCo's and LCR's from 0
    falls = tuple(milestone - first for milestone in args.schedule)
    return TrainingPlan(args.epochs, args.batch_size, args.accum_steps, steps_per_epoch, peak_lr(args), kind,
                args.warmup_epochs, falls, args.clip_grad, args.save_every, args.monitor_every,
                args.seed, args.schedule_epochs or args.epochs, args.warmup_lr / args.lr, args.final_lr / args.lr)


def checkpoint_bytes(method: Method, *, selecting: bool = False) -> int:
    """Room for two resume states (weights, momenta, queues, the best network where one is selected) and the exports."""
    size = sum(value.numel() * value.element_size() for value in method.state_dict().values())
    return (10 if selecting else 6) * size
