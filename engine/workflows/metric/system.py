"""Metric learning as a System: OBD-SD on some classes, measured on the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim import Optimizer

from datasets.disjoint_split import DisjointSplit
from datasets.images import ImageSet, sample_images
from datasets.loader import count_workers
from datasets.views.recipes import AUGMENTATIONS
from engine.flags.metric.command import METRIC_COMMAND
from engine.flags.metric.losses import find_option, read_loss_options
from engine.flags.metric.options import MetricOptions
from engine.monitor import Monitor
from engine.optimizer import build_optimizer
from engine.schedule import TrainingPlan
from engine.selection import Selection
from engine.workflows.build import Inputs, Start, System, build_student, make_batches
from engine.workflows.metric.images import eval_view, load_disjoint_split
from engine.workflows.metric.saved import measure_run
from engine.workflows.run import Run
from evaluation.ledger import append_result
from evaluation.retrieval.unseen_classes import describe_metric_row
from losses.metric.mining import MinerOptions
from methods.method import Method
from methods.obdsd import ObdSd, ObdSdOptions
from models.backbones import Backbone
from runtime import distributed
from runtime.errors import ConfigError, Problems


@dataclass(kw_only=True)
class MetricInputs(Inputs):
    """What metric learning reads: a class-disjoint split, and the network that learns."""

    split: DisjointSplit
    backbone: Backbone


@dataclass
class MetricRun(Run):
    """A run whose test classes are searched after training, with the network of the last or of the best epoch."""

    options: MetricOptions
    split: DisjointSplit

    def splits(self) -> dict[str, ImageSet]:
        """Images of the classes to learn, to validate on and to search."""
        val = {} if self.split.val is None else {"val": self.split.val}
        return {**super().splits(), **val, "test": self.split.test}

    def train(self) -> None:
        """Train, leave model_last.pth and curves, and add the numbers of the test classes to results.jsonl.

        Where an epoch was selected, the numbers are those of its network, which becomes model_best.pth.
        """
        super().train()
        method, selection = self.trainer.method.eval(), self.trainer.selection
        assert isinstance(method, ObdSd), "METRIC makes no other"
        distributed.share_buffers(method)
        if selection is not None:
            selection.restore(method.encoder())
            if distributed.is_main():
                self.export({}, "model_best.pth", selection.epoch + 1)
        chosen = "last epoch" if selection is None else selection.describe()
        row = measure_run(method.encoder(), self.split.test, self.options, self.trainer.device,
                          precision=self.trainer.number_format, weights=str(self.folder), selection=chosen)
        if distributed.is_main():
            append_result(self.folder / "results.jsonl", row.to_dict())
            self.page.write("finished")
            print(f"network of {chosen}: {describe_metric_row(row)}")


def read_metric_inputs(options: MetricOptions, problems: Problems) -> MetricInputs:
    """Classes, batches and the network that learns; raises one error that names all that is wrong with them."""
    split = problems.attempt(lambda: load_disjoint_split(options))
    backbone = problems.attempt(lambda: build_student(options))
    batches = problems.attempt(lambda: make_batches(options, len(split.train))) if split else None
    problems.refuse()
    found = problems.have(split)
    return MetricInputs(train=found.train, batches=problems.have(batches), split=found,
                        backbone=problems.have(backbone))


def make_metric_method(options: MetricOptions, inputs: MetricInputs, start: Start) -> Method:
    """OBD-SD on the backbone; raises ConfigError for names and options of losses and miners."""
    try:
        return ObdSd(inputs.backbone, read_method_options(options), classes=inputs.split.train_classes,
                     seed=options.seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def read_method_options(options: MetricOptions) -> ObdSdOptions:
    """The method's choices from the flags; raises ValueError for a loss that is not there."""
    return ObdSdOptions(
        dim=options.embed_dim, size=options.size, view_recipe=AUGMENTATIONS[options.augmentation].train,
        pool=options.pool, normalise=options.normalize, frozen_bn=options.frozen_bn, criterion=options.loss,
        criterion_options=choose_loss_options(options), miner=options.batch_mining,
        miner_options=read_miner_options(options),
        distil=options.PSD, diffusion=options.diffusion_norm if options.OBDP else None, kd_lambda=options.kd_lambda,
        kd_tau=options.kd_tau, diffusion_w=options.diffusion_w, diffusion_tau=options.diffusion_tau, lr=options.lr,
        head_lr=options.fc_lr if options.fc_lr >= 0 else None, sampler=options.data_sampler,
        samples_per_class=options.samples_per_class)


def read_miner_options(options: MetricOptions) -> MinerOptions:
    """The chosen miner's options; semihard takes the margin of its loss, as the public code does, unless told."""
    rho, margin = options.batch_mining == "rho_distance", options.miner_semihard_margin
    if margin is None:
        usual = MinerOptions.margin
        margin = find_option(options, "margin", usual) if options.batch_mining == "semihard" else usual
    cutoff = options.miner_rho_distance_lower_cutoff if rho else options.miner_distance_lower_cutoff
    return MinerOptions(margin=margin, lower_cutoff=cutoff, swap=options.miner_rho_distance_cp)


def choose_loss_options(options: MetricOptions) -> dict[str, float]:
    """What was given for the loss; signal to noise is not regularised under distance mining, as published."""
    given = read_loss_options(options)
    unregularised = options.loss == "snr" and options.batch_mining in (None, "distance")
    return ({"reg_lambda": 0.0} if unregularised else {}) | given


def make_metric_optimizer(options: MetricOptions, method: Method) -> Optimizer:
    """Adam or SGD, with weight decay added to the gradient."""
    return build_optimizer(options.optimizer, method, lr=options.lr, decay=options.wd)


def make_metric_plan(options: MetricOptions, steps_per_epoch: int) -> TrainingPlan:
    """The trainer's share of the options."""
    kind = "constant" if options.scheduler == "none" else "step"
    return TrainingPlan(options.epochs, options.batch_size, 1, steps_per_epoch, options.lr, kind, 0.0,
                        tuple(options.schedule), options.clip_grad, options.save_every, options.monitor_every,
                        options.seed, gamma=options.gamma)


def make_metric_monitor(
    options: MetricOptions, inputs: MetricInputs, device: torch.device, number_format: str
) -> Monitor:
    """Numbers of the training classes, and of the classes or images held out for validation."""
    return Monitor(sample_images(inputs.train, options.monitor_images), eval_view(options), device, number_format,
                   workers=count_workers(options.num_workers), crop_bottom=options.crop_bottom,
                   validation=inputs.split.val, head_distance="cosine" if options.normalize else "euclid")


METRIC = System(
    command=METRIC_COMMAND,
    read=read_metric_inputs, method=make_metric_method, optimizer=make_metric_optimizer, plan=make_metric_plan,
    monitor=make_metric_monitor,
    selection=lambda options: Selection(f"val_{options.select_by}_head") if options.select == "best-val" else None,
    run=lambda options, trainer, inputs: MetricRun(options, trainer, inputs.train, Path(options.results_dir),
                                                   inputs.split))
