"""From flags to a method and its optimiser: which class, with which options."""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import nn

from datasets.images import ImageSet, load_images
from methods.byol import Byol, ByolOptions
from methods.lcr import LcrByol, LcrMoco
from methods.lead import Lead, LeadOptions
from methods.method import Method
from methods.moco import ContrastOptions, Moco, MocoOptions
from methods.rationale import RationaleOptions
from models.backbones import Backbone, build_backbone
from models.present import check_architecture
from models.sizes import check_size
from models.weights.files import read_checkpoint
from models.weights.styles import split_encoder_state
from runtime.errors import ConfigError, DataError
from runtime.given import list_given, name_flags

# Flags that LEAD's options take over under their own names.
LEAD_FLAGS = ("alpha", "beta", "cross_weight", "cam_weight", "cam_temperature", "branch_width", "cosine_weight",
              "six_passes", "early_enqueue", "log_of_softmax", "distill_sum", "cam", "attention_normalise")


def build_student(args: argparse.Namespace) -> Backbone:
    """The network that learns, with its start weights; raises WeightsError."""
    check_architecture(args, "arch")
    with name_flags(args, "pretrained"):
        follow_max_pool(args)
        backbone = build_backbone(args.arch, args.pretrained)
    check_size(backbone, args.size)
    if not args.max_pool:
        with name_flags(args, "max_pool"):
            backbone.skip_max_pool()
    return backbone


def follow_max_pool(args: argparse.Namespace) -> None:
    """Weights that were trained without a max-pool go on without one, with a word, unless --max-pool is given."""
    open_to_change = args.max_pool and "max_pool" not in list_given(args) and Path(str(args.pretrained)).is_file()
    if open_to_change and split_encoder_state(read_checkpoint(args.pretrained)).meta.get("skips_max_pool"):
        print(f"note: {args.pretrained} was trained without max-pool; so is this run (--max-pool true adds it)")
        args.max_pool = False


def build_pretrain_method(args: argparse.Namespace, images: int, backbone: Backbone, guide: nn.Module | None) -> Method:
    """The method on its backbone."""
    shared = {"size": args.size, "momentum": args.moco_m, "backbone_lr_scale": args.backbone_lr_scale,
              "head_warmup_epochs": args.head_warmup_epochs, "frozen_bn": args.frozen_bn}
    if args.method in ("byol", "lcr-byol"):
        options = ByolOptions(**shared, dim=pick_dim(args, ByolOptions.dim), hidden=args.projector_hidden,
                              source=args.moco_source, momentum_schedule=args.tau_schedule)
        return Byol(backbone, options) if args.method == "byol" else LcrByol(backbone, options, rationale_options(args))
    contrast = {**shared, "queue_size": queue_size(args, images), "temperature": args.moco_t,
                "queue_mask": args.queue_mask, "shuffle_keys": args.shuffle_keys, "view_recipe": args.view_recipe}
    if args.method == "lead":
        return Lead(backbone, guide, lead_options(args, guide, contrast), seed=args.seed)
    contrast |= {} if args.aug_plus else {"view_recipe": "mocov1"}
    options = MocoOptions(**contrast, dim=pick_dim(args, ContrastOptions.dim), source=args.moco_source, mlp=args.mlp)
    if args.method == "moco":
        return Moco(backbone, options, seed=args.seed)
    return LcrMoco(backbone, options, rationale_options(args), seed=args.seed)


def pick_dim(args: argparse.Namespace, usual: int) -> int:
    """The head's width, a method's usual one unless it was given."""
    return usual if args.moco_dim is None else args.moco_dim


def lead_options(args: argparse.Namespace, guide: nn.Module, common: dict[str, object]) -> LeadOptions:
    """LEAD's choices from the flags; raises ConfigError when the head's width is not the prototypes'."""
    if args.moco_dim not in (None, guide.dim):
        raise ConfigError(f"--moco-dim {args.moco_dim}: the prototypes have {guide.dim} numbers; leave --moco-dim out")
    classes = (args.num_classes or None) if args.entropy_by == "num-classes" else None  # 0 = as many as prototypes
    return LeadOptions(**common, **{name: getattr(args, name) for name in LEAD_FLAGS}, entropy_classes=classes)


def rationale_options(args: argparse.Namespace) -> RationaleOptions:
    """LCR's choices from the flags."""
    return RationaleOptions(weight=args.cam_weight, cam=args.cam, temperature=args.cam_temperature, sign=args.cam_sign,
                            normalise=args.attention_normalise, width=args.branch_width)


def queue_size(args: argparse.Namespace, images: int) -> int:
    """`--moco-k`; auto = the largest power of two that is at most N - batch (at least 2)."""
    if args.moco_k != "auto":
        return args.moco_k
    room = max(images - args.batch_size, 2)
    return 2 ** (room.bit_length() - 1)


def load_validation(args: argparse.Namespace) -> ImageSet:
    """The labelled images of the `val` split; raises DataError when there is none: test is never monitored."""
    images = load_images(args.root, "val", skip_bad=args.skip_bad, crop_bottom=args.crop_bottom)
    if bool((images.labels < 0).all()) or len(images.labels.unique()) == len(images):
        raise DataError(f"{args.root}: --monitor-retrieval needs a val split with two images or more of some class")
    return images
