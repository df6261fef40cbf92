"""Pre-training as a System: which class, with which options, around which networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from datasets.crops import open_crops
from datasets.images import ImageSet, load_images, sample_images
from datasets.layouts.read import read_listing
from datasets.loader import count_workers
from datasets.views.recipes import View
from engine.batch_norm import check_batch_norm
from engine.flags.pretrain.checks import check_pretrain_sources
from engine.flags.pretrain.command import PRETRAIN_COMMAND
from engine.flags.pretrain.methods import METHODS
from engine.flags.pretrain.options import PretrainOptions
from engine.flags.pretrain.readers import reads
from engine.monitor import Monitor
from engine.optimizer import build_optimizer
from engine.schedule import TrainingPlan
from engine.selection import Selection
from engine.workflows.build import Inputs, Start, System, build_student, make_batches, move_to_device
from engine.workflows.pretrain.guidance import build_guide, teacher_precision
from engine.workflows.pretrain.head import initialise_head
from engine.workflows.pretrain.judge import make_judge
from engine.workflows.pretrain.methods import build_pretrain_method
from engine.workflows.pretrain.run import PretrainRun
from engine.workflows.pretrain.trust import adapt_to_trust
from evaluation.options import LABELFREE
from methods.lead import Lead
from methods.method import Method
from models.backbones import Backbone
from runtime.errors import DataError, Problems


@dataclass(kw_only=True)
class PretrainInputs(Inputs):
    """What pre-training reads: the network that learns, and images to search between epochs, if that was asked for.

    `answers` are the teacher's features of the training images, once it was asked.
    """

    backbone: Backbone
    validation: ImageSet | None
    answers: Tensor | None = None


def read_pretrain_inputs(options: PretrainOptions, problems: Problems) -> PretrainInputs:
    """Images, crops, batches and the network that learns; raises one error that names all that is wrong with them."""
    images = problems.attempt(lambda: load_images(options.root, "train", skip_bad=options.skip_bad, labels="ignored",
                                                  crop_bottom=options.crop_bottom))
    if options.test and images:
        problems.attempt(lambda: read_listing(options.root))
    crops = problems.attempt(lambda: open_crops(options, images))
    batches = problems.attempt(lambda: make_batches(options, len(images))) if images else None
    problems.attempt(lambda: check_pretrain_sources(options))
    backbone = problems.attempt(lambda: build_student(options))
    if backbone is not None:
        problems.attempt(lambda: check_batch_norm(options, backbone, frozen=options.frozen_bn))
    validation = problems.attempt(lambda: load_validation(options)) if options.monitor_retrieval else None
    problems.refuse()
    return PretrainInputs(train=problems.have(images), batches=problems.have(batches), crops=crops,
                          backbone=problems.have(backbone), validation=validation)


def make_pretrain_method(options: PretrainOptions, inputs: PretrainInputs, start: Start) -> Method:
    """The method on its backbone, with its guide where it reads one, and a head fitted in closed form where asked."""
    guide = None
    if reads(options, "guidance"):
        guide = build_guide(options, inputs, start.device, start.saved)
    start.identity["teacher_precision"] = teacher_precision(guide)
    method = build_pretrain_method(options, len(inputs.train), inputs.backbone, guide)
    if isinstance(method, Lead) and options.head_start == "least-squares" and start.saved is None:
        move_to_device(method, options, start.device)
        initialise_head(method, options, inputs.train, inputs.crops, start.device)
    return method


def load_validation(options: PretrainOptions) -> ImageSet:
    """The labelled images of the `val` split; raises DataError when there is none: test is never monitored."""
    images = load_images(options.root, "val", skip_bad=options.skip_bad, crop_bottom=options.crop_bottom)
    if bool((images.labels < 0).all()) or len(images.labels.unique()) == len(images):
        raise DataError(f"{options.root}: --monitor-retrieval needs a val split with two images or more of some class")
    return images


def make_pretrain_plan(options: PretrainOptions, steps_per_epoch: int) -> TrainingPlan:
    """The trainer's share of the options."""
    kind = options.schedule_kind if options.cos else "step"
    falls = tuple(milestone - METHODS[options.method].first_epoch for milestone in options.schedule)
    return TrainingPlan(options.epochs, options.batch_size, options.accum_steps, steps_per_epoch, options.peak_lr, kind,
                        options.warmup_epochs, falls, options.clip_grad, options.save_every, options.monitor_every,
                        options.seed, options.schedule_epochs or options.epochs, options.warmup_lr / options.lr,
                        options.final_lr / options.lr)


def make_pretrain_monitor(
    options: PretrainOptions, inputs: PretrainInputs, device: torch.device, number_format: str
) -> Monitor:
    """Numbers of the training split, and of the validation split where it is searched between epochs."""
    watched = sample_images(inputs.train, options.monitor_images)
    judge = make_judge(options, inputs, watched, device) if options.select == LABELFREE else None
    return Monitor(watched, View("full", "eval", options.size), device, number_format, crop_bottom=options.crop_bottom,
                   workers=count_workers(options.num_workers), knn_k=options.knn_k, knn_temperature=options.knn_t,
                   validation=inputs.validation, judge=judge)


def make_pretrain_optimizer(options: PretrainOptions, method: Method) -> Optimizer:
    """SGD, AdamW or LARS over the method's groups."""
    return build_optimizer(options.optimizer, method, lr=options.peak_lr, decay=options.wd, momentum=options.momentum,
                           joint=options.lars_norm == "joint")


PRETRAIN = System(
    command=PRETRAIN_COMMAND,
    read=read_pretrain_inputs, method=make_pretrain_method, optimizer=make_pretrain_optimizer, plan=make_pretrain_plan,
    monitor=make_pretrain_monitor,
    selection=lambda options: Selection(LABELFREE) if options.select == LABELFREE else None,
    run=lambda options, trainer, inputs: PretrainRun(options, trainer, inputs.train, Path(options.results_dir)),
    adapt=adapt_to_trust)
