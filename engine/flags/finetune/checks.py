"""What is wrong with the flags of main_finetune.py before any file is opened."""

from __future__ import annotations

import argparse
from pathlib import Path

from datasets.views.recipes import RECIPES
from engine.flags.unread import find_doubles
from models.plug_in.presets import PRESETS as PLUG_INS
from models.present import check_weights
from runtime.devices import list_device_problems, list_sync_problems
from runtime.errors import Problems
from runtime.given import list_given

# The public codes' names of data sets: what tables call them.
DATA_SETS = {"CUB": "CUB", "DOG": "DOG", "DOGS": "DOG", "FOOD": "FOOD", "FOODX": "FOOD", "NABIRDS": "NABIRDS",
             "NABIRD": "NABIRDS", "FOLDER": "FOLDER", "IMAGE_FOLDER": "FOLDER"}
JOINT = {"CUB_DOG": ["CUB", "DOG"], "CUB_DOGS": ["CUB", "DOG"]}
AS_FOLDERS = "put its images into train/ and test/ class folders and say FOLDER"
REFUSED = {"CIFAR": f"its images come packed in archives; {AS_FOLDERS}",
           "IMNET": "ImageNet's train/ and val/ are class folders; name val with --test-root, and say FOLDER",
           "INAT": f"its JSON lists are not read; {AS_FOLDERS}", "INAT19": f"its JSON lists are not read; {AS_FOLDERS}"}

# Flags of the public codes whose work is done otherwise here; they may be given and change nothing.
WITHOUT_EFFECT = (
    "--local-rank", "--dist-on-itp", "--dist-eval", "--start-epoch", "--save-ckpt", "--save-ckpt-freq",
    "--save-ckpt-num", "--log-dir", "--log-freq", "--project", "--project-name", "--exp-name", "--wandb-ckpt",
    "--wandb-entity",
    "--model-key", "--model-prefix", "--model-ema-force-cpu", "--model-ema-eval", "--resplit", "--cooldown-epochs",
    "--patience-epochs", "--lr-noise", "--lr-noise-pct", "--lr-noise-std", "--inat-category",
    "--imagenet-default-mean-and-std", "--ngpus", "--nodes", "--timeout", "--partition", "--use-volta32", "--comment",
    "--job-dir")


def read_data_set_names(args: argparse.Namespace) -> list[str]:
    """The names of --data-set, one a folder, as tables have them; lists problems.

    Folders given in their place (DeiT's README has it so) become those of --root.
    """
    words = [word for given in args.data_set for word in given.split()]
    if words and not args.root and all("/" in word for word in words):
        args.root, words = words, []
    asked = [name for word in words for name in JOINT.get(word.upper(), [word.upper()])]
    args.data_set = [DATA_SETS.get(name, name) for name in asked]
    problems = [f"--data-set {name} is not read: {REFUSED[name]}" for name in asked if name in REFUSED]
    unknown = [name for name in asked if name not in DATA_SETS and name not in REFUSED]
    known = ", ".join(dict.fromkeys([*DATA_SETS.values(), *JOINT]))
    return problems + [f"--data-set {name} is unknown; {known} are known, any class folder is FOLDER"
                       for name in unknown]


def find_problems(args: argparse.Namespace) -> list[str]:
    """Every problem that the resolved flags show."""
    found = list_device_problems(args.device) + list_sync_problems(args)
    return found + check_data_sets(args) + check_network_settings(args) + check_optimisation(args) + check_method(args)


def check_data_sets(args: argparse.Namespace) -> list[str]:
    """Folders and their names."""
    found = []
    if not args.root and not (args.eval and args.test_root):
        found.append("--root is missing: the data set's folder (also --data-path, --train-root), or several")
    if args.data_set and args.root and len(args.data_set) != len(args.root):
        found.append(f"--data-set names {len(args.data_set)} ({', '.join(args.data_set)}) but --data-path has "
                     f"{len(args.root)} ({', '.join(args.root)}); a folder with a space in its name needs to exist")
    if args.config is not None:
        found.append(f"--c {args.config}: settings are flags here; `python -m tools.convert_config {args.config}` says "
                     "which")
    if args.select == "best-val" and args.disable_eval:
        found.append("--select best-val needs looks at a validation part; leave --disable-eval out")
    if args.select == "best-val" and args.eval_freq == 0:
        found.append("--select best-val needs looks at a validation part; --eval-freq 1 looks after every epoch")
    return found


def check_network_settings(args: argparse.Namespace) -> list[str]:
    """Names, views and start weights."""
    found = []
    if args.finetune is None and not args.eval:
        found.append(f"--finetune: no start weights for {args.model} are at hand; give a file, hub, or none")
    if args.model in PLUG_INS and args.method != "pim" and args.model != PLUG_INS[args.model].arch:
        found.append(f"--model {args.model} is a plug-in module's backbone; add --method pim, or take a timm name")
    if args.eval_view not in RECIPES:
        found.append(f"--eval-view {args.eval_view} is unknown; crop, warp, pim, or one of {', '.join(RECIPES)}")
    if args.crop_pct is not None and args.crop_pct not in (0.875, 1.0):
        found.append(f"--crop-pct {args.crop_pct:g} is not offered; 0.875 and 1 are, or choose an --eval-view")
    return found


def check_optimisation(args: argparse.Namespace) -> list[str]:
    """Optimiser and augmentation."""
    found = []
    if args.opt not in ("adamw", "sgd", "momentum"):
        found.append(f"--opt {args.opt} is not offered; adamw, sgd (Nesterov) and momentum (without) are")
    if not 0 < args.scale[0] <= args.scale[1] <= 1:
        found.append(f"--scale {args.scale[0]:g} {args.scale[1]:g}: the least and the most area, above 0 and up to 1")
    if "warmup_lr" in list_given(args) and args.warmup_lr > args.peak_lr:
        found.append(f"--warmup-lr {args.warmup_lr:g} is above the rate that it should rise to, {args.peak_lr:g}")
    found += find_doubles(args, ("min_lr", "min_lr_ratio"), ("use_amp", "precision"), ("crop_pct", "eval_view"))
    if args.cutmix_minmax and not 0 <= args.cutmix_minmax[0] <= args.cutmix_minmax[1] <= 1:
        found.append("--cutmix-minmax: the least and the most side, within 0..1")
    return found


def check_method(args: argparse.Namespace) -> list[str]:
    """What a method needs, and flags of another one."""
    found = []
    distils = args.distillation_type != "none"
    if args.method == "distill" and not distils:
        found.append("--method distill with --distillation-type none has nothing to imitate; use --method plain")
    if args.method != "distill" and distils:
        found.append(f"--distillation-type {args.distillation_type} needs --method distill, not {args.method}")
    if args.method == "distill" and args.teacher_path is None and not args.eval:
        found.append("--teacher-path is missing: a network trained on the same classes, e.g. the folder of "
                     "--method teacher, with --teacher-model naming the architecture of a public file")
    if args.method == "pim" and args.use_combiner and not args.use_selection:
        found.append("--use-combiner needs --use-selection: its nodes are the kept positions")
    if args.method == "pim" and args.taps is not None and len({type(tap) for tap in args.taps}) != 1:
        found.append("--taps: indices, or names of modules, at least one and of one kind")
    if args.teacher_cache and args.method != "distill":
        found.append("--teacher-cache needs --method distill")
    if args.teacher_cache and (args.mixup or args.cutmix or args.cutmix_minmax):
        found.append("--teacher-cache remembers answers to unmixed images; use --mixup 0 --cutmix 0")
    return found


def check_finetune_sources(args: argparse.Namespace) -> None:
    """Raise ConfigError for start weights or a teacher that are not there, before anything is built."""
    problems = Problems()
    for name in ("finetune", "teacher_path"):
        source = getattr(args, name)
        problems.attempt(lambda: check_weights(args, name, [find_weight_file(source)] if source else []))
    problems.refuse()


def find_weight_file(source: str) -> str:
    """A source as it is, or the network within a run's folder."""
    return str(Path(source) / "model_last.pth") if Path(source).is_dir() else source
