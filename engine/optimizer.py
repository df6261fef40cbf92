"""From options to an optimiser: which parameters learn at which rate."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from engine.lars import Lars
from methods.method import Method, ParamGroup


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
