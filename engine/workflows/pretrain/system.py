"""Pre-training as a System: which class, with which options, around which networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from datasets.crops import open_crops
from datasets.images import ImageSet, load_images, sample_images
from datasets.layouts.read import read_listing
from datasets.loader import count_workers
from datasets.views.recipes import View
from engine.batch_norm import check_batch_norm
from engine.flags.pretrain.checks import check_pretrain_sources
from engine.flags.pretrain.options import PretrainOptions
from engine.monitor import Monitor
from engine.optimizer import build_optimizer
from engine.schedule import TrainingPlan
from engine.workflows.build import Inputs, Start, System, build_student, make_batches, move_to_device
from engine.workflows.pretrain.guidance import build_guide, teacher_precision
from engine.workflows.pretrain.head import initialise_head
from engine.workflows.retrieval import run_search, write_search
from engine.workflows.run import Run
from evaluation.features.subject import open_subject
from evaluation.options import SearchOptions
from methods.byol import Byol, ByolOptions
from methods.lcr import LcrByol, LcrMoco
from methods.lead import Lead, LeadOptions
from methods.method import Method
from methods.moco import ContrastOptions, Moco, MocoOptions
from methods.rationale import RationaleOptions
from models.backbones import Backbone
from runtime import distributed
from runtime.errors import ConfigError, DataError, Problems

# Flags that LEAD's options take over under their own names.
LEAD_FLAGS = ("alpha", "beta", "cross_weight", "cam_weight", "cam_temperature", "branch_width", "cosine_weight",
              "six_passes", "early_enqueue", "log_of_softmax", "distill_sum", "cam", "attention_normalise")


@dataclass(kw_only=True)
class PretrainInputs(Inputs):
    """What pre-training reads: the network that learns, and images to search between epochs, if that was asked for."""

    backbone: Backbone
    validation: ImageSet | None


@dataclass
class PretrainRun(Run):
    """A run whose encoder is searched on the test split once, where that was asked for."""

    options: PretrainOptions

    def train(self) -> None:
        """Train, leave the encoder, and with --test what main_retrieval.py says of it."""
        super().train()
        if self.options.test:
            self.search_test()

    def search_test(self) -> None:
        """What main_retrieval.py says of the exported encoder on the test split, read once."""
        told = self.options
        asked = SearchOptions(task=told.task, root=told.root, pretrained=str(self.folder), device=told.device,
                              num_workers=told.num_workers, seed=told.seed, cache=told.cache,
                              crop_bottom=told.crop_bottom, skip_bad=told.skip_bad)
        search = run_search(open_subject(asked, self.trainer.device, asked.batch_size), asked)
        if distributed.is_main():
            write_search(search, self.folder / "retrieval", asked)


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
    return PretrainInputs(train=images, batches=batches, crops=crops, backbone=backbone, validation=validation)


def make_pretrain_method(options: PretrainOptions, inputs: PretrainInputs, start: Start) -> Method:
    """The method on its backbone, with LEAD's guide and, where it is fitted in closed form, its head."""
    guide = None
    if options.method == "lead":
        guide = build_guide(options, inputs.train, inputs.crops, start.device, start.saved)
    start.identity["teacher_precision"] = teacher_precision(guide)
    method = build_pretrain_method(options, len(inputs.train), inputs.backbone, guide)
    if options.method == "lead" and options.head_start == "least-squares" and start.saved is None:
        move_to_device(method, options, start.device)
        initialise_head(method, options, inputs.train, inputs.crops, start.device)
    return method


def build_pretrain_method(options: PretrainOptions, images: int, backbone: Backbone, guide: nn.Module | None) -> Method:
    """The method on its backbone."""
    shared = {"size": options.size, "momentum": options.moco_m, "backbone_lr_scale": options.backbone_lr_scale,
              "head_warmup_epochs": options.head_warmup_epochs, "frozen_bn": options.frozen_bn}
    if options.method in ("byol", "lcr-byol"):
        chosen = ByolOptions(**shared, dim=pick_dim(options, ByolOptions.dim), hidden=options.projector_hidden,
                              source=options.moco_source, momentum_schedule=options.tau_schedule)
        if options.method == "byol":
            return Byol(backbone, chosen)
        return LcrByol(backbone, chosen, rationale_options(options))
    contrast = {**shared, "queue_size": queue_size(options, images), "temperature": options.moco_t,
                "queue_mask": options.queue_mask, "shuffle_keys": options.shuffle_keys,
                "view_recipe": options.view_recipe}
    if options.method == "lead":
        return Lead(backbone, guide, lead_options(options, guide, contrast), seed=options.seed)
    contrast |= {} if options.aug_plus else {"view_recipe": "mocov1"}
    chosen = MocoOptions(**contrast, dim=pick_dim(options, ContrastOptions.dim), source=options.moco_source,
                         mlp=options.mlp)
    if options.method == "moco":
        return Moco(backbone, chosen, seed=options.seed)
    return LcrMoco(backbone, chosen, rationale_options(options), seed=options.seed)


def pick_dim(options: PretrainOptions, usual: int) -> int:
    """The head's width, a method's usual one unless it was given."""
    return usual if options.moco_dim is None else options.moco_dim


def lead_options(options: PretrainOptions, guide: nn.Module, common: dict[str, object]) -> LeadOptions:
    """LEAD's choices from the flags; raises ConfigError when the head's width is not the prototypes'."""
    if options.moco_dim not in (None, guide.dim):
        raise ConfigError(f"--moco-dim {options.moco_dim}: the prototypes have {guide.dim} numbers; leave it out")
    by_classes = options.entropy_by == "num-classes"
    classes = (options.num_classes or None) if by_classes else None  # 0 = as many as prototypes
    return LeadOptions(**common, **{name: getattr(options, name) for name in LEAD_FLAGS}, entropy_classes=classes)


def rationale_options(options: PretrainOptions) -> RationaleOptions:
    """LCR's choices from the flags."""
    return RationaleOptions(weight=options.cam_weight, cam=options.cam, temperature=options.cam_temperature,
                            sign=options.cam_sign, normalise=options.attention_normalise, width=options.branch_width)


def queue_size(options: PretrainOptions, images: int) -> int:
    """`--moco-k`; auto = the largest power of two that is at most N - batch (at least 2)."""
    if options.moco_k != "auto":
        return options.moco_k
    room = max(images - options.batch_size, 2)
    return 2 ** (room.bit_length() - 1)


def load_validation(options: PretrainOptions) -> ImageSet:
    """The labelled images of the `val` split; raises DataError when there is none: test is never monitored."""
    images = load_images(options.root, "val", skip_bad=options.skip_bad, crop_bottom=options.crop_bottom)
    if bool((images.labels < 0).all()) or len(images.labels.unique()) == len(images):
        raise DataError(f"{options.root}: --monitor-retrieval needs a val split with two images or more of some class")
    return images


def make_pretrain_plan(options: PretrainOptions, steps_per_epoch: int) -> TrainingPlan:
    """The trainer's share of the options."""
    kind = options.schedule_kind if options.cos else "step"
    first = 1 if options.method == "lead" else 0  # LEAD's public code counts epochs from 1, MoCo's and LCR's from 0
    falls = tuple(milestone - first for milestone in options.schedule)
    return TrainingPlan(options.epochs, options.batch_size, options.accum_steps, steps_per_epoch, options.peak_lr, kind,
                options.warmup_epochs, falls, options.clip_grad, options.save_every, options.monitor_every,
                options.seed, options.schedule_epochs or options.epochs, options.warmup_lr / options.lr,
                options.final_lr / options.lr)


def make_pretrain_monitor(
    options: PretrainOptions, inputs: PretrainInputs, device: torch.device, number_format: str
) -> Monitor:
    """Numbers of the training split, and of the validation split where it is searched between epochs."""
    return Monitor(sample_images(inputs.train, options.monitor_images), View("full", "eval", options.size), device,
                   number_format, crop_bottom=options.crop_bottom, workers=count_workers(options.num_workers),
                   knn_k=options.knn_k, knn_temperature=options.knn_t, validation=inputs.validation)


def make_pretrain_optimizer(options: PretrainOptions, method: Method) -> Optimizer:
    """SGD, AdamW or LARS over the method's groups."""
    return build_optimizer(options.optimizer, method, lr=options.peak_lr, decay=options.wd, momentum=options.momentum,
                           joint=options.lars_norm == "joint")


PRETRAIN = System(
    read=read_pretrain_inputs, method=make_pretrain_method, optimizer=make_pretrain_optimizer, plan=make_pretrain_plan,
    monitor=make_pretrain_monitor,
    selection=lambda options: None,
    run=lambda options, trainer, inputs: PretrainRun(options, trainer, inputs.train, Path(options.results_dir)))
