"""From flags to a method and its optimiser: which class, with which options."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from engine.absent import check_network
from engine.args import ConfigError, list_given, name_flags
from engine.lars import Lars
from methods.byol import Byol, ByolOptions
from methods.lcr import LcrByol, LcrMoco
from methods.lead import Lead, LeadOptions
from methods.method import Method, ParamGroup
from methods.moco import ContrastOptions, Moco, MocoOptions
from methods.rationale import RationaleOptions
from models.backbones import Backbone, build_backbone
from models.checkpoint_styles import split_encoder_state
from models.sizes import check_size
from models.weights import read_checkpoint

# Flags that LEAD's options take over under their own names.
LEAD_FLAGS = ("alpha", "beta", "cross_weight", "cam_weight", "cam_temperature", "branch_width", "cosine_weight",
              "six_passes", "early_enqueue", "log_of_softmax", "distill_sum", "cam", "attention_normalise")


def build_student(args: argparse.Namespace) -> Backbone:
    """The network that learns, with its start weights; raises WeightsError."""
    check_network(args, "arch")
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
    if args.max_pool and "max_pool" not in list_given(args) and Path(str(args.pretrained)).is_file():
        if split_encoder_state(read_checkpoint(args.pretrained)).meta.get("skips_max_pool"):
            print(f"note: {args.pretrained} was trained without max-pool; so is this run (--max-pool true adds it)")
            args.max_pool = False


def build_method(args: argparse.Namespace, images: int, backbone: Backbone, guide: nn.Module | None) -> Method:
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


def build_optimizer(args: argparse.Namespace, method: Method) -> torch.optim.Optimizer:
    """SGD, AdamW or LARS over the method's groups; the trainer sets their rates."""
    if args.optimizer == "lars":
        return Lars(adapted_groups(method, args.wd), lr=peak_lr(args), momentum=args.momentum,
                    joint=args.lars_norm == "joint")
    groups = [describe_group(group, args.wd) for group in method.param_groups()]
    if args.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=peak_lr(args), foreach=True)
    return torch.optim.SGD(groups, lr=peak_lr(args), momentum=args.momentum, foreach=True)


def describe_group(group: ParamGroup, decay: float) -> dict[str, object]:
    """A group in torch's words."""
    return {"params": group.params, "lr_scale": group.lr_scale, "start_epoch": group.start_epoch,
            "weight_decay": decay if group.weight_decay is None else group.weight_decay}


def adapted_groups(method: Method, decay: float) -> list[dict[str, object]]:
    """A method's groups for LARS, each in two: layers' weights, which have two dimensions or more, are adapted; biases
    and norms are plain SGD's and do not decay.
    """
    groups = []
    for group in method.param_groups():
        for adapt in (True, False):
            part = replace(group, params=[p for p in group.params if (p.ndim > 1) == adapt],
                           weight_decay=group.weight_decay if adapt else 0.0)
            groups.append(describe_group(part, decay) | {"adapt": adapt})
    return groups


def peak_lr(args: argparse.Namespace) -> float:
    """`--lr`, times batch size / 256 with `--scale-lr`."""
    return args.lr * args.batch_size / 256 if args.scale_lr else args.lr
