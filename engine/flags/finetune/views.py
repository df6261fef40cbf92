"""The views that the flags of main_finetune.py ask for."""

from __future__ import annotations

from datasets.views.recipes import View
from datasets.views.timm_views import Augment
from engine.flags.finetune.options import FinetuneOptions
from runtime.errors import ConfigError


def training_view(options: FinetuneOptions) -> View:
    """What the network sees in training; raises ConfigError for an impossible policy."""
    if options.train_view != "timm":
        return View("full", options.train_view, options.size)
    try:
        augment = Augment(auto_augment=None if options.aa in ("", "none") else options.aa,
                          color_jitter=options.color_jitter, interpolation=options.train_interpolation,
                          scale=options.scale,
                          hflip=options.hflip, reprob=options.reprob, remode=options.remode,
                          recount=options.recount)
    except ValueError as error:
        raise ConfigError(f"--aa, --scale or --reprob: {error}") from error
    return View("full", "timm", options.size, augment)


def evaluation_view(options: FinetuneOptions) -> View:
    """What it sees in evaluation."""
    return View("full", options.eval_view, options.size)
