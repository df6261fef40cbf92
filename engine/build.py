"""From flags to a run: the only place that knows every class."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from datasets.images import ImageSet
from datasets.loader import make_loader
from datasets.multi_context import Crops, ViewSet
from datasets.samplers import EpochBatches
from datasets.views import View
from engine import checkpoint, distributed, precision
from engine.args import ConfigError, Problems, refuse, write_args
from engine.guidance import build_guide, teacher_precision
from engine.identity import describe_run
from engine.logger import Logger
from engine.monitor import Monitor
from engine.prepare import check_sources, count_workers, load_images, need_disk, open_crops
from engine.run import Run
from engine.trainer import Plan, Trainer
from methods.lead import Lead, LeadOptions
from methods.method import Method
from methods.moco import ContrastOptions, Moco, MocoOptions
from models.backbones import Backbone, build_backbone

# Flags that LEAD's options take over under their own names.
LEAD_FLAGS = ("alpha", "beta", "cross_weight", "cam_weight", "cosine_weight", "six_passes", "early_enqueue",
              "log_of_softmax", "distill_sum", "cam", "attention_normalise")


def build_run(args: argparse.Namespace, device: torch.device) -> Run:
    """Everything that `args` asks for, checked and ready to train; raises one error that names every problem."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder = Path(args.results_dir)
    problems = Problems()
    saved = problems.attempt(lambda: find_saved(args, folder))
    images = problems.attempt(lambda: load_images(args.root, "train", skip_bad=args.skip_bad))
    crops = problems.attempt(lambda: open_crops(args, images))
    batches = problems.attempt(lambda: make_batches(args, len(images))) if images else None
    problems.attempt(lambda: check_sources(args))
    backbone = problems.attempt(lambda: build_backbone(args.arch, args.pretrained))
    problems.refuse()
    identity = describe_run(args, images, crops, device, saved)
    folder.mkdir(parents=True, exist_ok=True)
    guide = build_guide(args, images, crops, device, saved) if args.method == "lead" else None
    identity["teacher_precision"] = teacher_precision(guide)
    method = place(build_method(args, len(images), backbone, guide), args, device)
    refuse(need_disk(folder, checkpoint_bytes(method)) if saved is None else [])
    if method.couples_batch and args.accum_steps > 1:
        raise ConfigError(f"--accum-steps {args.accum_steps}: {args.method}'s loss couples a batch's images; use 1")
    identity["precision"] = identity["precision"] or choose_precision(args, method, device)
    method = share_statistics(method, args, device)  # last: timing a copy on one rank must not wait for the others
    trainer = make_trainer(args, method, images, crops, batches, device, folder, identity)
    if saved is not None:
        trainer.resume(saved)
    if distributed.is_main():
        write_args(folder / "args.json", args)
    return Run(args, trainer, images, folder)


def find_saved(args: argparse.Namespace, folder: Path) -> dict[str, object] | None:
    """The resume state that `--resume` asks for; raises ConfigError when a run would be overwritten without it."""
    if args.resume is None:
        if checkpoint.exists(folder):
            raise ConfigError(f"{folder} holds a run already; go on with --resume, or choose another --results-dir")
        return None
    source = folder if args.resume == "auto" else Path(args.resume)
    state = checkpoint.load(source)
    if "identity" not in state:
        raise ConfigError(f"{source} is no resume state; to start from its weights, give it as --pretrained")
    return state


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


def build_method(args: argparse.Namespace, images: int, backbone: Backbone, guide: nn.Module | None) -> Method:
    """The method on its backbone."""
    common = {"size": args.size, "queue_size": queue_size(args, images), "momentum": args.moco_m,
              "temperature": args.moco_t, "queue_mask": args.queue_mask, "shuffle_keys": args.shuffle_keys,
              "backbone_lr_scale": args.backbone_lr_scale, "head_warmup_epochs": args.head_warmup_epochs,
              "frozen_bn": args.frozen_bn}
    if args.method == "moco":
        options = MocoOptions(**common, dim=args.moco_dim or ContrastOptions.dim, source=args.moco_source)
        return Moco(backbone, options, seed=args.seed)
    return Lead(backbone, guide, lead_options(args, guide, common), seed=args.seed)


def lead_options(args: argparse.Namespace, guide: nn.Module, common: dict[str, object]) -> LeadOptions:
    """LEAD's choices from the flags; raises ConfigError when the head's width is not the prototypes'."""
    if args.moco_dim not in (None, guide.dim):
        raise ConfigError(f"--moco-dim {args.moco_dim}: the prototypes have {guide.dim} numbers; leave --moco-dim out")
    classes = (args.num_classes or None) if args.entropy_by == "num-classes" else None
    return LeadOptions(**common, **{name: getattr(args, name) for name in LEAD_FLAGS}, entropy_classes=classes)


def queue_size(args: argparse.Namespace, images: int) -> int:
    """`--moco-k`; auto = the largest power of two that is at most N - batch (at least 2)."""
    if args.moco_k != "auto":
        return args.moco_k
    room = max(images - args.batch_size, 2)
    return 2 ** (room.bit_length() - 1)


def place(method: Method, args: argparse.Namespace, device: torch.device) -> Method:
    """The method on its device, in its memory format."""
    return method.to(device, memory_format=torch.channels_last) if args.channels_last else method.to(device)


def share_statistics(method: Method, args: argparse.Namespace, device: torch.device) -> Method:
    """Batch norm over all CUDA ranks if asked. timm's conversion keeps the activations that its layers carry."""
    if args.sync_bn and not args.frozen_bn and distributed.world() > 1 and device.type == "cuda":
        return convert_sync_batchnorm(method)
    return method


def choose_precision(args: argparse.Namespace, method: Method, device: torch.device) -> str:
    """The number format of the run: measured on the main process where `--precision auto`, then told to all."""
    if not distributed.is_main():
        return distributed.broadcast_object(None)
    share = args.batch_size // (distributed.world() * args.accum_steps)
    batch = min(share, 8 if device.type == "cpu" else 64)  # a GPU is not busy with 8 images, a CPU is
    chosen, seconds = precision.choose(method.encoder(), args.size, device, batch)
    print(f"precision {chosen}: " + ", ".join(f"{name} {1000 * took:.0f} ms" for name, took in seconds.items())
          + f" for a training step of {batch} images")
    return distributed.broadcast_object(chosen)


def make_trainer(
    args: argparse.Namespace, method: Method, images: ImageSet, crops: Crops | None, batches: EpochBatches,
    device: torch.device, folder: Path, identity: dict[str, object],
) -> Trainer:
    """Data, optimiser, log and monitors around a method."""
    views = stand_in(method.views(), crops)
    dataset = ViewSet(images, views, crops=crops, seed=args.seed, crop_bottom=args.crop_bottom)
    loader = make_loader(dataset, batches, workers=count_workers(args.num_workers), pin=device.type == "cuda")
    monitor = Monitor(sample_images(images, args.monitor_images), View("full", "eval", args.size), device,
                      identity["precision"], crop_bottom=args.crop_bottom, workers=count_workers(args.num_workers),
                      knn_k=args.knn_k, knn_temperature=args.knn_t)
    sinks = tuple(name for name in args.logger.split(",") if name)
    logger = Logger(folder, sinks=sinks, active=distributed.is_main(), name=folder.name)
    return Trainer(method, optimizer=build_optimizer(args, method), batches=batches, loader=loader,
                   plan=make_plan(args, len(batches) // args.accum_steps), device=device,
                   number_format=identity["precision"], folder=folder, logger=logger, monitor=monitor,
                   names=[sample.key for sample in images.samples], identity=identity)


def stand_in(views: dict[str, View], crops: Crops | None) -> dict[str, View]:
    """The views; where there are no crops (`--crop-root none`) whole images stand in for them."""
    if crops is not None:
        return views
    return {name: View("full", view.recipe, view.size) for name, view in views.items()}


def sample_images(images: ImageSet, most: int) -> ImageSet:
    """At most `most` images, evenly spread over the list."""
    if len(images) <= most:
        return images
    chosen = [images.samples[i * len(images) // most] for i in range(most)]
    return ImageSet(images.root, images.split, tuple(chosen), images.classes)


def make_plan(args: argparse.Namespace, steps_per_epoch: int) -> Plan:
    """The trainer's share of the flags."""
    kind = args.schedule_kind if args.cos else "step"
    return Plan(args.epochs, args.batch_size, args.accum_steps, steps_per_epoch, args.lr, kind, args.warmup_epochs,
                tuple(args.schedule), args.clip_grad, args.save_every, args.monitor_every, args.seed)


def build_optimizer(args: argparse.Namespace, method: Method) -> torch.optim.Optimizer:
    """SGD with momentum 0.9 or AdamW over the method's groups; the trainer sets their rates."""
    groups = [{"params": group.params, "lr_scale": group.lr_scale, "start_epoch": group.start_epoch,
               "weight_decay": args.wd if group.weight_decay is None else group.weight_decay}
              for group in method.param_groups()]
    if args.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=args.lr, foreach=True)
    return torch.optim.SGD(groups, lr=args.lr, momentum=0.9, foreach=True)


def checkpoint_bytes(method: Method) -> int:
    """Room for two resume states (weights, momenta, queues) and the export."""
    size = sum(value.numel() * value.element_size() for value in method.state_dict().values())
    return 6 * size
