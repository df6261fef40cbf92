"""Supervised recognition as a System: labelled photographs, a network, its teacher or its plug-in module."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.optim import Optimizer

from datasets.sampling.batches import Batches
from datasets.sampling.repeated import RepeatedBatches
from datasets.views.recipes import View
from engine.batch_norm import check_batch_norm
from engine.flags.finetune.checks import check_finetune_sources
from engine.flags.finetune.command import FINETUNE_COMMAND
from engine.flags.finetune.options import FinetuneOptions
from engine.flags.finetune.views import training_view
from engine.optimizer import build_optimizer
from engine.schedule import TrainingPlan
from engine.selection import Selection
from engine.workflows.build import Inputs, Start, System, make_batches
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
from methods.distill import Distill, DistillOptions
from methods.method import Method
from methods.pim import Pim, PimOptions
from methods.supervised import Supervised, Supervision
from models.classifiers.file import SavedClassifier
from models.network import ClassNetwork
from models.plug_in.module import PlugIn
from runtime.errors import ConfigError, Problems


@dataclass(kw_only=True)
class FinetuneInputs(Inputs):
    """What fine-tuning reads: all photographs, the training view, the network, and its teacher where it has one."""

    photos: Photographs
    view: View
    network: ClassNetwork
    teacher: SavedClassifier | None


def read_finetune_inputs(options: FinetuneOptions, problems: Problems) -> FinetuneInputs:
    """Photographs, then networks that know their classes; raises one error that names all that is wrong with them."""
    problems.attempt(lambda: check_finetune_sources(options))
    problems.attempt(lambda: check_fit(options))
    view = problems.attempt(lambda: training_view(options))
    photos = problems.attempt(lambda: load_photographs(options))
    problems.attempt(lambda: check_selectable(options, photos))
    batches = problems.attempt(lambda: shuffle_batches(options, len(photos.train))) if photos else None
    problems.refuse()
    found = problems.have(photos)
    names = found.train.classes
    teacher = problems.attempt(lambda: load_teacher(options, names)) if options.method == "distill" else None
    network = problems.attempt(lambda: build_network(options, len(names)))
    if network is not None:
        problems.attempt(lambda: check_batch_norm(options, network.backbone, frozen=options.frozen_bn))
    problems.refuse()
    return FinetuneInputs(train=found.train, batches=problems.have(batches), photos=found, view=problems.have(view),
                          network=problems.have(network), teacher=teacher)


def check_selectable(options: FinetuneOptions, photos: Photographs | None) -> None:
    """Raise ConfigError when an epoch is to be selected and there is nothing to select it by."""
    if options.select == "best-val" and photos is not None and photos.val is None:
        raise ConfigError("--select best-val needs validation images; add --val-share 0.1 (test images select nothing)")


def shuffle_batches(options: FinetuneOptions, count: int) -> Batches:
    """This rank's shuffled micro-batches, with every image once or --repeats times; raises ConfigError or DataError."""
    plain = make_batches(options, count)
    mixes = options.mixup > 0 or options.cutmix > 0 or options.cutmix_minmax is not None
    if mixes and plain.batch_size % 2:
        raise ConfigError(f"--mixup and --cutmix pair the images that one process has at once, and {plain.batch_size} "
                          "is odd; use another --batch-size")
    if not options.repeated_aug or options.repeats == 1:
        return plain
    return RepeatedBatches(count, plain.batch_size, repeats=options.repeats, seed=options.seed, rank=plain.rank,
                           world=plain.world)


def make_finetune_method(options: FinetuneOptions, inputs: FinetuneInputs, start: Start) -> Supervised:
    """The method on its network, with its teacher or a teacher's remembered answers."""
    chosen = read_supervision(options, len(inputs.train.classes), inputs.view)
    network, saved, identity = inputs.network, inputs.teacher, start.identity
    if options.method == "pim":
        assert isinstance(network, PlugIn)  # `build_network` makes it so
        return explain(lambda: Pim(network, chosen, read_pim(options)))
    if saved is None:
        return explain(lambda: Supervised(network, chosen))
    teacher = make_class_teacher(saved, options, identity.get("teacher_precision")).to(start.device)
    if identity.setdefault("teacher", teacher.fingerprint()) != teacher.fingerprint():
        raise ConfigError(f"--teacher-path {options.teacher_path} is not the teacher that the run began with")
    identity["teacher_precision"] = teacher.precision
    answers: Tensor | None = None
    if options.teacher_cache:
        answers = remember_answers(teacher, saved, inputs.train, options, start.device)
    distillation = DistillOptions(kind=options.distillation_type, alpha=options.distillation_alpha,
                                  tau=options.distillation_tau, reduction=options.distillation_reduction)
    return explain(lambda: Distill(network, chosen, distillation, teacher=None if options.teacher_cache else teacher,
                                   teacher_logits=answers))


def read_supervision(options: FinetuneOptions, classes: int, view: View) -> Supervision:
    """What every method needs, from the flags."""
    return Supervision(
        classes=classes, view=view, smoothing=options.smoothing, mixup=options.mixup, cutmix=options.cutmix,
        cutmix_minmax=options.cutmix_minmax, mixup_prob=options.mixup_prob,
        mixup_switch_prob=options.mixup_switch_prob, mixup_mode=options.mixup_mode, layer_decay=options.layer_decay,
        backbone_lr_scale=options.backbone_lr_scale, ema_decay=options.model_ema_decay if options.model_ema else None,
        frozen_bn=options.frozen_bn, no_weight_decay_on_vectors=not options.vector_decay, seed=options.seed)


def read_pim(options: FinetuneOptions) -> PimOptions:
    """The plug-in module's weights, from the flags."""
    return PimOptions(lambda_b=options.lambda_b, lambda_s=options.lambda_s, lambda_n=options.lambda_n,
                      lambda_c=options.lambda_c)


def make_finetune_optimizer(options: FinetuneOptions, method: Method) -> Optimizer:
    """AdamW or SGD over the method's groups, whose weight decays may change with the steps."""
    kind = {"sgd": "nesterov", "momentum": "sgd"}.get(options.opt, options.opt)
    return build_optimizer(kind, method, lr=options.peak_lr, decay=options.wd, momentum=options.momentum,
                           betas=options.opt_betas, eps=options.opt_eps, decay_moves=True)


def make_finetune_plan(options: FinetuneOptions, steps_per_epoch: int) -> TrainingPlan:
    """The trainer's share of the flags."""
    count = math.ceil(options.epochs / options.decay_epochs)
    falls = tuple(int(number * options.decay_epochs) for number in range(1, count))
    decay_floor = 1.0 if options.weight_decay_end is None or not options.wd else options.weight_decay_end / options.wd
    return TrainingPlan(options.epochs, options.batch_size, options.accum_steps, steps_per_epoch, options.peak_lr,
                        options.sched, warmup_epochs(options, steps_per_epoch), falls, options.clip_grad,
                        options.save_every, 0 if options.disable_eval else options.monitor_every, options.seed,
                        floor=options.min_lr_ratio, gamma=options.decay_rate,
                        warmup_start=min(options.warmup_lr / options.peak_lr, 1.0), decay_floor=decay_floor)


def warmup_epochs(options: FinetuneOptions, steps_per_epoch: int) -> float:
    """The warm-up in epochs, whether it was given in epochs, in steps, or in batches."""
    batches = math.ceil(options.warmup_batchs / options.accum_steps)
    steps = options.warmup_steps if options.warmup_steps > 0 else batches
    return (steps + 0.5) / steps_per_epoch if steps > 0 else options.warmup_epochs  # half a step against rounding down


FINETUNE = System(
    command=FINETUNE_COMMAND,
    read=read_finetune_inputs, method=make_finetune_method, optimizer=make_finetune_optimizer, plan=make_finetune_plan,
    monitor=lambda options, inputs, device, number_format: Watch(options, inputs.photos, device, number_format),
    selection=lambda options: Selection("val_top1") if options.select == "best-val" else None,
    run=lambda options, trainer, inputs: FinetuneRun(options, trainer, inputs.train, Path(options.results_dir),
                                                     inputs.photos))
