"""The flags of main_finetune.py: the names of DeiT's, ConvNeXt's and PIM's public codes, ours beside them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from datasets.files import find_crop_bottom
from engine.flags.absent import check_present
from engine.flags.finetune.checks import WITHOUT_EFFECT, check_finetune_sources, find_problems, read_data_set_names
from engine.flags.finetune.finished import find_finished_classifier, list_contradictions
from engine.flags.finetune.methods import add_pim, add_teacher, read_selects
from engine.flags.finetune.presets import DEIT, NAMES, PRESETS
from engine.flags.finetune.readers import FINETUNE
from engine.flags.finetune.recipe import add_augmentation, add_finetune_monitors, add_finetune_optimisation, switch
from engine.flags.finetune.views import training_view
from engine.flags.groups import add_data, add_device, add_evaluation, add_ignored
from engine.flags.layering import parse_with_presets
from engine.flags.parser import Parser, imply, toggle
from engine.flags.public import add_name
from engine.flags.ranges import COUNT_OR_0, SHARE_BELOW_1, SIDE, WEIGHT
from engine.flags.unread import add_silent, find_unread, note_unread, take_silent
from models.plug_in.presets import find_preset
from models.weights.usual import usual_weights
from runtime.devices import resolve_device
from runtime.given import list_given
from runtime.names.hub import strip_hub

METHODS = ("plain", "teacher", "distill", "pim")
# What the shared parts of the engine ask for and nobody chooses here.
FIXED = {"centre": False, "test": False}
EVAL_VIEWS = {"crop": "deit-eval", "warp": "warp", "pim": "pim-eval"}
CROP_SHARES = {0.875: "deit-eval", 1.0: "short-exact"}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with presets and automatic values resolved; raises ConfigError that names every problem."""
    args, problems = parse_with_presets(make_parser, PRESETS, argv, find_method)
    silent = take_silent(args, WITHOUT_EFFECT)
    before = len(problems.lines)
    saved = problems.attempt(lambda: find_finished_classifier(args))
    if len(problems.lines) > before:  # every further problem would follow from this one
        problems.refuse()
    resolve_method(args)
    problems.lines += PRESETS.find_problems(args) + resolve_selects(args) + read_data_set_names(args)
    resolve_places(args)
    resolve_classifier(args)
    resolve_views(args)
    problems.lines += resolve_optimisation(args)
    problems.lines += list_contradictions(args, saved)
    table = () if args.eval else FINETUNE
    problems.lines += find_problems(args) + find_unread(args, table)
    training = () if args.eval else (lambda: check_finetune_sources(args), lambda: training_view(args))
    problems.refuse(lambda: check_present(args), *training)
    vars(args).update(FIXED)
    note_unread(args, table, silent, "see docs/finetune.md")
    return args


def make_parser() -> Parser:
    """The parser of main_finetune.py, for parsing and for --help."""
    parser = Parser(prog="main_finetune.py", description="Fine-tune a network on labelled photographs: plainly, as a "
                    "teacher, with one, or with the plug-in module.")
    parser.add_argument("--method", choices=METHODS, default=None,
                        help="it brings its own defaults; plain unless --distillation-type says otherwise")
    parser.add_argument("--preset", default="none", choices=NAMES, help="published settings, or small for one CPU")
    parser.add_argument("--recipe", choices=("default", "seed"), default="default",
                        help="seed = some of the public codes' own arithmetic; docs/finetune.md says which")
    parser.add_argument("--results-dir", "--output-dir", default="checkpoints/finetune", metavar="DIR",
                        help="everything the run writes")
    parser.add_argument("--resume", nargs="?", const="auto", default=None, metavar="PATH",
                        help="continue a killed run exactly (from --results-dir unless a folder or file is given); "
                             "with --eval the network to evaluate")
    toggle(parser, "--auto-resume", False, "continue when --results-dir holds a run, else begin")
    parser.add_argument("--c", "--config", dest="config", default=None, metavar="FILE.yaml", help=argparse.SUPPRESS)
    add_evaluation(parser, "--eval", "no training: evaluate the network of RUN, else of --resume, else of "
                   "--results-dir, as its args.json says; flags that contradict the run are refused")
    add_photographs(parser)
    add_learning_network(parser)
    add_teacher(parser)
    add_pim(parser)
    add_augmentation(parser)
    add_finetune_optimisation(parser)
    add_finetune_monitors(parser)
    add_device(parser)
    add_ignored(parser)
    add_name(parser, "checkpoints")
    add_silent(parser, WITHOUT_EFFECT)
    parser.set_defaults(**DEIT)
    return parser


def add_photographs(parser: Parser) -> None:
    """One data set or several, their names, and how they are read."""
    group = add_data(parser, crops=False, root_required=False)
    group.add_argument("--data-path", "--train-root", dest="root", nargs="+", default=argparse.SUPPRESS, metavar="DIR",
                       help="as --root; several folders (or one quoted string with spaces) train together")
    group.add_argument("--data-set", nargs="+", default=[], metavar="NAME",
                       help="what the folders are, for names and checks: CUB, DOG, FOOD, NABIRDS, CUB_DOG = CUB DOG, "
                            "FOLDER; layouts are recognised by themselves")
    group.add_argument("--test-root", "--val-root", "--eval-data-path", nargs="+", default=None, metavar="DIR",
                       help="class folders to evaluate, where --root has training images only")
    group.add_argument("--nb-classes", "--num-classes", type=COUNT_OR_0, default=0,
                       help="checked against the data; 0 = any")
    group.add_argument("--val-share", type=SHARE_BELOW_1, default=0.0,
                       help="share of each class's training images kept for validation")
    switch(group, "--pin-mem", True, "page-locked batches, on CUDA")


def add_learning_network(parser: Parser) -> None:
    """The network that learns."""
    group = parser.add_argument_group("network")
    group.add_argument("-a", "--model", "--arch", "--model-name", type=strip_hub,
                       help="any timm classifier; for --method pim also swin-t, resnet50, vit, efficient with the "
                            "published taps")
    group.add_argument("--size", "--input-size", "--data-size", type=SIDE, default=None,
                       help="pixels of a view's side; default 384, or what a published plug-in module has")
    group.add_argument("--finetune", "--pretrained", default="auto", metavar="WEIGHTS",
                       help="start weights: a file or a run's folder (ImageNet's, our pre-trained encoder, a "
                            "classifier of ours or of the public codes), package:efficientnet-lite0|1|2, hub, or none")
    group.add_argument("--second-head", default="auto", choices=("auto", "true", "false"),
                       help="a head for the teacher's answers; auto = with --method distill and for distilled models")
    group.add_argument("--drop", type=SHARE_BELOW_1, default=0.0, help="dropout before the head")
    group.add_argument("--drop-path", type=SHARE_BELOW_1, help="stochastic depth")
    group.add_argument("--head-init-scale", type=WEIGHT, default=1.0, help="new heads begin with weights times this")
    group.add_argument("--layer-scale-init-value", type=WEIGHT, default=None, help="of ConvNeXt; timm's by default")
    toggle(group, "--frozen-bn", False, "keep the batch statistics of the start weights")
    toggle(group, "--sync-bn", True, "batch statistics over all ranks, where there are several on CUDA")
    toggle(group, "--channels-last", True, "memory format of images and weights")


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
    return [part for word in words for part in ([word] if os.path.exists(word) else word.split())]


def resolve_classifier(args: argparse.Namespace) -> None:
    """Side, start weights, and the heads that are needed."""
    named = find_preset(args.model) if args.method == "pim" else None
    if args.size is None:
        args.size = named.size if named else 384
    if args.finetune == "auto":
        args.finetune = usual_weights(named.arch if named else args.model)
    elif args.finetune == "":
        args.finetune = "none"
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
    args.accum_steps = max(args.update_freq, 1)
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
