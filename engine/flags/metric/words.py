"""Words of main_metric.py that decide several flags at once, and what follows where nothing is said."""

from __future__ import annotations

import argparse

from datasets.views.recipes import AUGMENTATIONS
from engine.flags.metric.options import MetricOptions
from engine.flags.parser import imply
from runtime.errors import refuse
from runtime.options import list_given

TOKENS = ("normalize", "frozen", "double")


def resolve_words(args: argparse.Namespace) -> list[str]:
    """What words of --arch and switches for several flags at once decide, over presets; lists problems.

    Raises ConfigError at once for a flag that is glued to it: every other problem would follow from that one.
    """
    if "--" in args.arch:
        arch, _, lost = args.arch.partition("--")
        refuse([f"--arch {args.arch}: a space is missing before --{lost}, so that it never was a flag (a script's line "
                f"continuation `\\` needs a space before it); write --arch {arch} --{lost}"])
    base, *words = args.arch.split("_")
    found = [word for word in words if word in TOKENS]
    given = f"--arch {args.arch}"
    args.arch = "_".join([base, *(word for word in words if word not in TOKENS)])
    if found:
        decide(args, given, {"normalize": "normalize" in found, "frozen_bn": "frozen" in found,
                             "pool": "avg+max" if "double" in found else "avg"})
    if args.OBD_SD is not None:
        decide(args, "--OBD-SD", {"PSD": args.OBD_SD, "OBDP": args.OBD_SD})
    elif "PSD" in list_given(args) and not args.PSD:
        decide(args, "--PSD", {"OBDP": False})
    if args.dataset:
        decide(args, f"--dataset {args.dataset}", {"task": args.dataset})
    if args.arch.split("_")[0] in ("bninception", "googlenet"):
        asked, args.arch = args.arch, "resnet50"  # so that it is told once
        return [f"--arch {asked} is not offered: no library keeps its weights; take resnet50"]
    return []


def decide(args: argparse.Namespace, word: str, settings: dict[str, object]) -> None:
    """Settings that a word of the user's stands for, under his own flags and over everything else."""
    own = list_given(args)
    vars(args).update({name: value for name, value in settings.items() if name not in own})
    imply(args, word, *settings)


def resolve_embedding_network(args: argparse.Namespace) -> None:
    """What neither a flag, nor a word of --arch, nor a finished run says."""
    args.normalize = True if args.normalize is None else args.normalize
    args.frozen_bn = True if args.frozen_bn is None else args.frozen_bn
    args.pool = args.pool or "avg"
    args.size = args.size or AUGMENTATIONS[args.augmentation].size
    args.crop_bottom = 0 if args.crop_bottom == "auto" else args.crop_bottom


def check_select_flag(options: MetricOptions) -> list[str]:
    """Problems of --select; the test classes have no say in it."""
    if options.select == "best-test":
        return ["--select best-test, as published tables choose, is not offered: the best of many epochs on the test "
                "classes is no measurement of any network; use --select best-val with --use-tv-split, or last"]
    if options.select not in ("last", "best-val"):
        return [f"--select is {options.select}, but it must be last or best-val"]
    if options.select == "last" or options.evaluate:
        return []
    problems = []
    if not options.use_tv_split:
        problems.append("--select best-val chooses by validation images: give --use-tv-split")
    if options.monitor_every == 0:
        problems.append("--select best-val needs looks at validation images: --monitor-every 1 looks after every epoch")
    return problems
