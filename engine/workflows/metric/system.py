"""From the flags of main_metric.py to a run of OBD-SD: class-disjoint split, network, losses, the one trainer."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from datasets.disjoint_split import DisjointSplit
from datasets.images import ImageSet, sample_images
from datasets.loader import count_workers, make_loader
from datasets.places import RUN_FILES, list_overlaps
from datasets.sampling.batches import Batches
from datasets.view_set import ViewSet
from datasets.views.recipes import AUGMENTATIONS
from engine.batch_norm import check_batch_norm
from engine.flags.metric.losses import find_option, read_loss_options
from engine.identity import describe_run
from engine.logger import Logger
from engine.monitor import Monitor
from engine.optimizer import describe_group
from engine.schedule import TrainingPlan
from engine.selection import Selection
from engine.trainer import Trainer
from engine.workflows.build import checkpoint_bytes, choose_training_precision, find_saved, make_batches, move_to_device
from engine.workflows.metric.images import load_disjoint_split
from engine.workflows.pretrain.system import build_student
from engine.workflows.run import Run
from evaluation.ledger import append_result
from evaluation.retrieval.unseen_classes import describe_metric_row, eval_view, measure_classes
from evaluation.run_record import write_args
from losses.metric.mining import MinerOptions
from methods.method import Method
from methods.obdsd import MetricOptions, ObdSd
from runtime import distributed
from runtime.errors import ConfigError, Problems, refuse
from runtime.files import need_disk


@dataclass
class MetricRun(Run):
    """A run whose test classes are searched after training, with the network of the last or of the best epoch."""

    split: DisjointSplit

    def train(self) -> None:
        """Train, leave model_last.pth and curves, and add the numbers of the test classes to results.jsonl.

        Where an epoch was selected, the numbers are those of its network, which becomes model_best.pth.
        """
        super().train()
        method, selection = self.trainer.method.eval(), self.trainer.selection
        distributed.share_buffers(method)
        if selection is not None:
            selection.restore(method.encoder())
            if distributed.is_main():
                self.export({}, "model_best.pth", selection.epoch + 1)
        chosen = "last epoch" if selection is None else selection.describe()
        row = measure_classes(method.encoder(), self.split.test, self.args, self.trainer.device,
                              precision=self.trainer.number_format, weights=str(self.folder), selection=chosen)
        if distributed.is_main():
            append_result(self.folder / "results.jsonl", row.to_dict())
            print(f"network of {chosen}: {describe_metric_row(row)}")


def build_metric_run(args: argparse.Namespace, device: torch.device) -> MetricRun:
    """Everything that `args` asks for, checked and ready to train; raises one error that names every problem."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder, problems = Path(args.results_dir), Problems()
    problems.lines += list_overlaps(args, RUN_FILES)
    saved = problems.attempt(lambda: find_saved(args, folder))
    split = problems.attempt(lambda: load_disjoint_split(args))
    backbone = problems.attempt(lambda: build_student(args))
    shuffled = problems.attempt(lambda: make_batches(args, len(split.train))) if split else None
    problems.refuse()
    try:
        method = ObdSd(backbone, read_method_options(args), classes=split.train_classes, seed=args.seed)
    except ValueError as error:  # names and options of losses and miners
        raise ConfigError(str(error)) from error
    check_batch_norm(args, method)
    batches = method.sampler(split.train.labels, shuffled.batch_size)
    identity = describe_run(args, split.train, None, device, saved)
    folder.mkdir(parents=True, exist_ok=True)
    method = move_to_device(method, args, device)
    refuse(need_disk(folder, checkpoint_bytes(method, selecting=args.select == "best-val")) if saved is None else [])
    identity["precision"] = identity["precision"] or choose_training_precision(args, method, device)
    trainer = make_metric_trainer(args, method, split, batches, device, folder, identity)
    if saved is not None:
        trainer.resume(saved)
    if distributed.is_main():
        write_args(folder / "args.json", args)
    return MetricRun(args, trainer, split.train, folder, split)


def read_method_options(args: argparse.Namespace) -> MetricOptions:
    """The method's choices from the flags; raises ValueError for a loss that is not there."""
    return MetricOptions(
        dim=args.embed_dim, size=args.size, view_recipe=AUGMENTATIONS[args.augmentation].train, pool=args.pool,
        normalise=args.normalize, frozen_bn=args.frozen_bn, criterion=args.loss,
        criterion_options=choose_loss_options(args), miner=args.batch_mining,
        miner_options=read_miner_options(args),
        distil=args.PSD, diffusion=args.diffusion_norm if args.OBDP else None, kd_lambda=args.kd_lambda,
        kd_tau=args.kd_tau, diffusion_w=args.diffusion_w, diffusion_tau=args.diffusion_tau, lr=args.lr,
        head_lr=args.fc_lr if args.fc_lr >= 0 else None, sampler=args.data_sampler,
        samples_per_class=args.samples_per_class)


def read_miner_options(args: argparse.Namespace) -> MinerOptions:
    """The chosen miner's options; semihard takes the margin of its loss, as the public code does, unless told."""
    rho, margin = args.batch_mining == "rho_distance", args.miner_semihard_margin
    if margin is None:
        usual = MinerOptions.margin
        margin = find_option(args, "margin", usual) if args.batch_mining == "semihard" else usual
    cutoff = args.miner_rho_distance_lower_cutoff if rho else args.miner_distance_lower_cutoff
    return MinerOptions(margin=margin, lower_cutoff=cutoff, swap=args.miner_rho_distance_cp)


def choose_loss_options(args: argparse.Namespace) -> dict[str, float]:
    """What was given for the loss; signal to noise is not regularised under distance mining, as published."""
    given = read_loss_options(args)
    unregularised = args.loss == "snr" and args.batch_mining in (None, "distance")
    return ({"reg_lambda": 0.0} if unregularised else {}) | given


def build_metric_optimizer(args: argparse.Namespace, method: Method) -> torch.optim.Optimizer:
    """Adam or SGD, with weight decay added to the gradient; the trainer sets the rates."""
    groups = [describe_group(group, args.wd) for group in method.param_groups()]
    if args.optimizer == "adam":
        return torch.optim.Adam(groups, lr=args.lr, foreach=True)
    return torch.optim.SGD(groups, lr=args.lr, momentum=0.9, foreach=True)


def make_metric_trainer(
    args: argparse.Namespace, method: Method, split: DisjointSplit, batches: Batches, device: torch.device,
    folder: Path, identity: dict[str, object],
) -> Trainer:
    """Data, optimiser, log and monitors around the method."""
    workers = count_workers(args.num_workers)
    dataset = ViewSet(split.train, method.views(), seed=args.seed, crop_bottom=args.crop_bottom)
    loader = make_loader(dataset, batches, workers=workers, pin=device.type == "cuda")
    watched: ImageSet = sample_images(split.train, args.monitor_images)
    monitor = Monitor(watched, eval_view(args), device, identity["precision"], workers=workers,
                      crop_bottom=args.crop_bottom, validation=split.val,
                      head_distance="cosine" if args.normalize else "euclid")
    logger = Logger(folder, sinks=tuple(name for name in args.logger.split(",") if name),
                    active=distributed.is_main(), name=folder.name)
    kind = "constant" if args.scheduler == "none" else "step"
    plan = TrainingPlan(args.epochs, args.batch_size, 1, len(batches), args.lr, kind, 0.0, tuple(args.schedule),
                args.clip_grad, args.save_every, args.monitor_every, args.seed, gamma=args.gamma)
    return Trainer(method, optimizer=build_metric_optimizer(args, method), batches=batches, loader=loader, plan=plan,
                   device=device, number_format=identity["precision"], folder=folder, logger=logger, monitor=monitor,
                   names=[sample.key for sample in split.train.samples], identity=identity,
                   selection=Selection(f"val_{args.select_by}_head") if args.select == "best-val" else None)
