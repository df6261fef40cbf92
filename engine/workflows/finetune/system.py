"""From the flags of main_finetune.py to a run: photographs, network, teacher, the one trainer."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from datasets.loader import count_workers, make_loader
from datasets.places import RUN_FILES, list_overlaps
from datasets.sampling.batches import Batches, EpochBatches
from datasets.sampling.repeated import RepeatedBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from engine.batch_norm import check_batch_norm
from engine.flags.finetune.checks import check_finetune_sources
from engine.flags.finetune.views import training_view
from engine.identity import describe_run
from engine.logger import Logger
from engine.optimizer import describe_group
from engine.schedule import TrainingPlan
from engine.selection import Selection
from engine.trainer import Trainer
from engine.workflows.build import (
    check_accumulation,
    checkpoint_bytes,
    choose_training_precision,
    find_saved,
    make_batches,
    move_to_device,
    share_statistics,
)
from engine.workflows.finetune.images import Photographs, load_photographs
from engine.workflows.finetune.networks import (
    build_network,
    check_fit,
    explain,
    load_teacher,
    make_class_teacher,
    remember_answers,
)
from engine.workflows.finetune.run import FinetuneRun
from engine.workflows.finetune.watch import Watch
from evaluation.run_record import write_args
from methods.distill import Distill, DistillOptions
from methods.method import Method
from methods.pim import Pim, PimOptions
from methods.supervised import Supervised, Supervision
from models.classifiers.file import SavedClassifier
from runtime import distributed
from runtime.errors import ConfigError, Problems, refuse
from runtime.files import need_disk


def build_finetune_run(args: argparse.Namespace, device: torch.device) -> FinetuneRun:
    """Everything that `args` asks for, checked and ready to train; raises one error that names every problem."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder, problems = Path(args.results_dir), Problems()
    problems.lines += list_overlaps(args, RUN_FILES)
    saved = problems.attempt(lambda: find_saved(args, folder))
    problems.attempt(lambda: check_finetune_sources(args))
    problems.attempt(lambda: check_fit(args))
    view = problems.attempt(lambda: training_view(args))
    photos = problems.attempt(lambda: load_photographs(args))
    problems.attempt(lambda: check_selectable(args, photos))
    batches = problems.attempt(lambda: shuffle_batches(args, len(photos.train))) if photos else None
    problems.refuse()
    names = photos.train.classes
    teacher = problems.attempt(lambda: load_teacher(args, names)) if args.method == "distill" else None
    network = problems.attempt(lambda: build_network(args, len(names)))
    if network is not None:
        problems.attempt(lambda: check_batch_norm(args, network.backbone, frozen=args.frozen_bn))
    problems.refuse()
    identity = describe_run(args, photos.train, None, device, saved)
    folder.mkdir(parents=True, exist_ok=True)
    method = build_finetune_method(args, network, view, teacher, photos, device, identity)
    check_batch_norm(args, method)  # the plug-in module has batch norms of its own
    method = move_to_device(method, args, device)
    refuse(need_disk(folder, checkpoint_bytes(method, selecting=args.select != "last")) if saved is None else [])
    if args.accum_steps > 1:
        check_accumulation(method, args)
    identity["precision"] = identity["precision"] or choose_training_precision(args, method, device)
    method = share_statistics(method, args, device)
    trainer = make_finetune_trainer(args, method, photos, batches, device, folder, identity)
    if saved is not None:
        trainer.resume(saved)
    if distributed.is_main():
        write_args(folder / "args.json", args)
    return FinetuneRun(args, trainer, photos.train, folder, photos)


def check_selectable(args: argparse.Namespace, photos: Photographs | None) -> None:
    """Raise ConfigError when an epoch is to be selected and there is nothing to select it by."""
    if args.select == "best-val" and photos is not None and photos.val is None:
        raise ConfigError("--select best-val needs validation images; add --val-share 0.1 (test images select nothing)")


def shuffle_batches(args: argparse.Namespace, count: int) -> Batches:
    """This rank's shuffled micro-batches, with every image once or --repeats times; raises ConfigError or DataError."""
    plain: EpochBatches = make_batches(args, count)
    mixes = args.mixup > 0 or args.cutmix > 0 or args.cutmix_minmax is not None
    if mixes and plain.batch_size % 2:
        raise ConfigError(f"--mixup and --cutmix pair the images that one process has at once, and {plain.batch_size} "
                          "is odd; use another --batch-size")
    if not args.repeated_aug or args.repeats == 1:
        return plain
    return RepeatedBatches(count, plain.batch_size, repeats=args.repeats, seed=args.seed, rank=plain.rank,
                           world=plain.world)


def build_finetune_method(
    args: argparse.Namespace, network: nn.Module, view: View, saved: SavedClassifier | None, photos: Photographs,
    device: torch.device, identity: dict[str, object],
) -> Supervised:
    """The method on its network, with its teacher or a teacher's remembered answers."""
    options = read_supervision(args, len(photos.train.classes), view)
    if args.method == "pim":
        return explain(lambda: Pim(network, options, read_pim(args)))
    if saved is None:
        return explain(lambda: Supervised(network, options))
    teacher = make_class_teacher(saved, args, identity.get("teacher_precision")).to(device)
    if identity.setdefault("teacher", teacher.fingerprint()) != teacher.fingerprint():
        raise ConfigError(f"--teacher-path {args.teacher_path} is not the teacher that the run began with")
    identity["teacher_precision"] = teacher.precision
    answers: Tensor | None = None
    if args.teacher_cache:
        answers = remember_answers(teacher, saved, photos.train, args, device)
    distillation = DistillOptions(kind=args.distillation_type, alpha=args.distillation_alpha,
                                  tau=args.distillation_tau, reduction=args.distillation_reduction)
    return explain(lambda: Distill(network, options, distillation, teacher=None if args.teacher_cache else teacher,
                                   teacher_logits=answers))


def read_supervision(args: argparse.Namespace, classes: int, view: View) -> Supervision:
    """What every method needs, from the flags."""
    return Supervision(
        classes=classes, view=view, smoothing=args.smoothing, mixup=args.mixup, cutmix=args.cutmix,
        cutmix_minmax=args.cutmix_minmax and tuple(args.cutmix_minmax), mixup_prob=args.mixup_prob,
        mixup_switch_prob=args.mixup_switch_prob, mixup_mode=args.mixup_mode, layer_decay=args.layer_decay,
        backbone_lr_scale=args.backbone_lr_scale, ema_decay=args.model_ema_decay if args.model_ema else None,
        frozen_bn=args.frozen_bn, no_weight_decay_on_vectors=not args.vector_decay, seed=args.seed)


def read_pim(args: argparse.Namespace) -> PimOptions:
    """The plug-in module's weights, from the flags."""
    return PimOptions(lambda_b=args.lambda_b, lambda_s=args.lambda_s, lambda_n=args.lambda_n, lambda_c=args.lambda_c)


def build_finetune_optimizer(args: argparse.Namespace, method: Method) -> torch.optim.Optimizer:
    """AdamW or SGD over the method's groups; the trainer sets rates, and decays where they change."""
    groups = [describe_group(group, args.wd) for group in method.param_groups()]
    groups = [group | {"decay": group["weight_decay"]} for group in groups]
    if args.opt == "adamw":
        return torch.optim.AdamW(groups, lr=args.peak_lr, betas=tuple(args.opt_betas), eps=args.opt_eps, foreach=True)
    return torch.optim.SGD(groups, lr=args.peak_lr, momentum=args.momentum, foreach=True,
                           nesterov=args.opt == "sgd" and args.momentum > 0)


def make_finetune_plan(args: argparse.Namespace, steps_per_epoch: int) -> TrainingPlan:
    """The trainer's share of the flags."""
    falls = tuple(int(count * args.decay_epochs) for count in range(1, math.ceil(args.epochs / args.decay_epochs)))
    decay_floor = 1.0 if args.weight_decay_end is None or not args.wd else args.weight_decay_end / args.wd
    return TrainingPlan(args.epochs, args.batch_size, args.accum_steps, steps_per_epoch, args.peak_lr, args.sched,
                warmup_epochs(args, steps_per_epoch), falls, args.clip_grad, args.save_every,
                0 if args.disable_eval else args.eval_freq, args.seed, floor=args.min_lr_ratio, gamma=args.decay_rate,
                warmup_start=min(args.warmup_lr / args.peak_lr, 1.0), decay_floor=decay_floor)


def warmup_epochs(args: argparse.Namespace, steps_per_epoch: int) -> float:
    """The warm-up in epochs, whether it was given in epochs, in steps, or in batches."""
    steps = args.warmup_steps if args.warmup_steps > 0 else math.ceil(args.warmup_batchs / args.accum_steps)
    return (steps + 0.5) / steps_per_epoch if steps > 0 else args.warmup_epochs  # half a step against rounding down


def make_finetune_trainer(
    args: argparse.Namespace, method: Supervised, photos: Photographs, batches: Batches, device: torch.device,
    folder: Path, identity: dict[str, object],
) -> Trainer:
    """Data, optimiser, log and monitors around the method."""
    dataset = ViewSet(photos.train, method.views(), seed=args.seed, crop_bottom=args.crop_bottom)
    loader = make_loader(dataset, batches, workers=count_workers(args.num_workers),
                         pin=args.pin_mem and device.type == "cuda")
    logger = Logger(folder, sinks=tuple(name for name in args.logger.split(",") if name),
                    active=distributed.is_main(), name=folder.name)
    plan = make_finetune_plan(args, len(batches) // args.accum_steps)
    refuse([f"{len(batches)} batches an epoch make no step of --update-freq {args.update_freq}"] * (not plan.steps))
    return Trainer(method, optimizer=build_finetune_optimizer(args, method), batches=batches, loader=loader, plan=plan,
                   device=device, number_format=identity["precision"], folder=folder, logger=logger,
                   monitor=Watch(args, photos, device, identity["precision"]),
                   names=[sample.key for sample in photos.train.samples], identity=identity,
                   selection=Selection("val_top1") if args.select == "best-val" else None)
