"""What main_finetune.py makes of its command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from datasets.files import find_crop_bottom
from datasets.tars.places import place_exists
from engine.flags.finetune.arguments import make_parser
from engine.flags.finetune.checks import list_finetune_problems, look, read_data_set_names
from engine.flags.finetune.finished import find_finished_classifier, list_contradictions
from engine.flags.finetune.options import FinetuneOptions
from engine.flags.finetune.presets import PRESETS
from engine.flags.finetune.readers import READERS
from engine.flags.finetune.words import read_selects
from engine.flags.layering import Command
from engine.flags.parser import imply
from engine.flags.public import FINETUNE_SILENT
from engine.flags.unread import OF_TRAINING
from models.plug_in.presets import find_preset
from models.weights.usual import usual_weights
from runtime.devices import resolve_device
from runtime.errors import Problems
from runtime.options import list_given

EVAL_VIEWS = {"crop": "deit-eval", "warp": "warp", "pim": "pim-eval"}

CROP_SHARES = {0.875: "deit-eval", 1.0: "short-exact"}


def settle_finetune(args: argparse.Namespace, problems: Problems) -> None:
    """Fill in what a finished run, the method and automatic values decide; raises ConfigError for no such run."""
    before = len(problems.lines)
    saved = problems.attempt(lambda: find_finished_classifier(args))
    if len(problems.lines) > before:  # every further problem would follow from this one
        problems.refuse()
    resolve_method(args)
    problems.lines += resolve_selects(args) + read_data_set_names(args)
    resolve_places(args)
    resolve_classifier(args)
    resolve_views(args)
    problems.lines += resolve_optimisation(args)
    problems.lines += list_contradictions(args, saved)


def resolve_selects(args: argparse.Namespace) -> list[str]:
    """Positions by level from the words of --num-selects; lists problems."""
    if isinstance(args.num_selects, dict):  # of a finished run
        return []
    try:
        args.num_selects = read_selects(args.num_selects)
    except argparse.ArgumentTypeError as error:
        return [str(error)]
    return []


def find_method(args: argparse.Namespace) -> str:
    """The method that the flags mean: DeiT's command lines say --distillation-type, and its kind, instead of it."""
    if args.method is not None:
        return args.method
    return "plain" if args.distillation_type in (None, "none") else "distill"


def resolve_method(args: argparse.Namespace) -> None:
    """The method that is meant, and the kind of distillation."""
    if args.method is None:
        args.method = find_method(args)
        imply(args, f"--distillation-type {args.distillation_type}",
              *["method"] * ("distillation_type" in list_given(args)))
    if args.distillation_type is None:
        args.distillation_type = "hard" if args.method == "distill" else "none"


def resolve_places(args: argparse.Namespace) -> None:
    """Folders as lists, the device, and whether a run is continued."""
    args.root, args.test_root = split_paths(args.root), split_paths(args.test_root)
    args.device = resolve_device(args.device)
    args.crop_bottom = find_crop_bottom(args.crop_bottom, args.task)
    if args.auto_resume and args.resume is None and any(Path(args.results_dir).glob("checkpoint*.pt")):
        args.resume = "auto"
    sinks = [name for name in args.logger.split(",") if name]
    args.logger = ",".join(dict.fromkeys([*sinks, *["wandb"] * args.enable_wandb]))


def split_paths(given: str | Sequence[str] | None) -> list[str]:
    """Folders as words; one string that is no path is split at its spaces, as the public code has it."""
    words = [given] if isinstance(given, str) else list(given or ())
    return [part for word in words for part in ([word] if place_exists(word) else word.split())]


def resolve_classifier(args: argparse.Namespace) -> None:
    """Side, start weights, and the heads that are needed."""
    named = find_preset(args.model) if args.method == "pim" else None
    if args.size is None:
        args.size = named.size if named else 384
    if args.pretrained == "auto":
        args.pretrained = usual_weights(named.arch if named else args.model)
    elif args.pretrained == "":
        args.pretrained = "none"
    distilled = "distilled" in args.model
    wanted = args.method == "distill" or distilled
    args.second_head = wanted if args.second_head == "auto" else args.second_head == "true"


def resolve_views(args: argparse.Namespace) -> None:
    """The recipes of training and evaluation."""
    if args.train_view == "auto":
        args.train_view = "pim" if args.method == "pim" else "timm"
    if args.crop_pct is not None and not (args.eval and "eval_view" in list_given(args)):
        args.eval_view = CROP_SHARES.get(args.crop_pct, args.eval_view)
        imply(args, f"--crop-pct {args.crop_pct:g}", *["eval_view"] * ("crop_pct" in list_given(args)))
    if args.eval_view == "auto":
        warped = args.method == "teacher" and args.size >= 384
        args.eval_view = "pim" if args.method == "pim" else "warp" if warped else "crop"
    args.eval_view = EVAL_VIEWS.get(args.eval_view, args.eval_view)


def resolve_optimisation(args: argparse.Namespace) -> list[str]:
    """Batch and rate of an optimiser step, and where the rate ends; lists problems.

    From here on `batch_size` counts the images of a step, as everywhere else in the engine.
    """
    settle_warmup(args)
    args.batch_size *= args.accum_steps
    args.peak_lr = args.lr * args.batch_size / args.lr_scale_ref if args.lr_scale_ref > 0 else args.lr
    if args.use_amp is not None and args.precision == "auto":
        args.precision = "fp32" if not args.use_amp else "fp16" if args.device.startswith("cuda") else "auto"
    if args.min_lr is None:
        args.min_lr_ratio = 0.02 if args.min_lr_ratio is None else args.min_lr_ratio
        return []
    if args.min_lr > args.peak_lr:
        return [f"--min-lr {args.min_lr:g} is above the rate it should fall from, {args.peak_lr:g}: the rate would "
                "rise to it through the whole training; use a lower one, or --min-lr-ratio, a share of --lr"]
    args.min_lr_ratio = args.min_lr / args.peak_lr if args.peak_lr else 0.0
    return []


def settle_warmup(args: argparse.Namespace) -> None:
    """Of the three ways to say how long a warm-up is the user's own counts, and a preset's yields."""
    own = {"warmup_steps": -1, "warmup_batchs": 0, "warmup_epochs": 0.0}
    if own.keys() & list_given(args).keys():
        vars(args).update({name: off for name, off in own.items() if name not in list_given(args)})


FINETUNE_COMMAND = Command(
    options=FinetuneOptions,
    make_parser=make_parser,
    presets=PRESETS,
    find_method=find_method,
    settle=settle_finetune,
    check=list_finetune_problems,
    look=look,
    readers=lambda options: OF_TRAINING if options.eval else READERS,
    silent=FINETUNE_SILENT,
    page="see docs/finetune.md",
)
