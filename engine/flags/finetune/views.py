"""The views that the flags of main_finetune.py ask for."""

from __future__ import annotations

import argparse

from datasets.views.recipes import View
from datasets.views.timm_views import Augment
from runtime.errors import ConfigError


def training_view(args: argparse.Namespace) -> View:
    """What the network sees in training; raises ConfigError for an impossible policy."""
    if args.train_view != "timm":
        return View("full", args.train_view, args.size)
    try:
        augment = Augment(auto_augment=None if args.aa in ("", "none") else args.aa, color_jitter=args.color_jitter,
                          interpolation=args.train_interpolation, scale=tuple(args.scale), hflip=args.hflip,
                          reprob=args.reprob, remode=args.remode, recount=args.recount)
    except ValueError as error:
        raise ConfigError(f"--aa, --scale or --reprob: {error}") from error
    return View("full", "timm", args.size, augment)


def evaluation_view(args: argparse.Namespace) -> View:
    """What it sees in evaluation."""
    return View("full", args.eval_view, args.size)
