"""What is wrong with the flags of main_finetune.py before any file is opened."""

from __future__ import annotations

import argparse
from pathlib import Path

from datasets.views.recipes import RECIPES
from engine.flags.finetune.options import FinetuneOptions
from engine.flags.finetune.views import training_view
from engine.flags.unread import find_doubles
from models.plug_in.presets import PRESETS as PLUG_INS
from models.present import check_weights
from runtime.devices import list_device_problems, list_sync_problems
from runtime.errors import Problems
from runtime.options import list_given

# The public codes' names of data sets: what tables call them.
DATA_SETS = {"CUB": "CUB", "DOG": "DOG", "DOGS": "DOG", "FOOD": "FOOD", "FOODX": "FOOD", "NABIRDS": "NABIRDS",
             "NABIRD": "NABIRDS", "FOLDER": "FOLDER", "IMAGE_FOLDER": "FOLDER"}
JOINT = {"CUB_DOG": ["CUB", "DOG"], "CUB_DOGS": ["CUB", "DOG"]}
AS_FOLDERS = "put its images into train/ and test/ class folders and say FOLDER"
REFUSED = {"CIFAR": f"its images come packed in archives; {AS_FOLDERS}",
           "IMNET": "ImageNet's train/ and val/ are class folders; name val with --test-root, and say FOLDER",
           "INAT": f"its JSON lists are not read; {AS_FOLDERS}", "INAT19": f"its JSON lists are not read; {AS_FOLDERS}"}


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


def list_finetune_problems(options: FinetuneOptions) -> list[str]:
    """Every problem that the resolved flags show."""
    found = list_device_problems(options.device)
    found += list_sync_problems("sync_bn" in options.given and options.sync_bn, options.device)
    found += check_data_sets(options) + check_network_settings(options)
    return found + check_optimisation(options) + check_method(options)


def check_data_sets(options: FinetuneOptions) -> list[str]:
    """Folders and their names."""
    found = []
    if not options.root and not (options.eval and options.test_root):
        found.append("--root is missing: the data set's folder (also --data-path, --train-root), or several")
    if options.data_set and options.root and len(options.data_set) != len(options.root):
        found.append(f"--data-set names {len(options.data_set)} ({', '.join(options.data_set)}) but --data-path has "
                     f"{len(options.root)} ({', '.join(options.root)}); a folder with a space in its name "
                     "needs to exist")
    if options.config is not None:
        found.append(f"--c {options.config}: settings are flags here; "
                     f"`python -m tools.convert_config {options.config}` says which")
    if options.select == "best-val" and options.disable_eval:
        found.append("--select best-val needs looks at a validation part; leave --disable-eval out")
    if options.select == "best-val" and options.monitor_every == 0:
        found.append("--select best-val needs looks at a validation part; --eval-freq 1 looks after every epoch")
    return found


def check_network_settings(options: FinetuneOptions) -> list[str]:
    """Names, views and start weights."""
    found = []
    if options.pretrained is None and not options.eval:
        found.append(f"--finetune: no start weights for {options.model} are at hand; give a file, hub, or none")
    if options.model in PLUG_INS and options.method != "pim" and options.model != PLUG_INS[options.model].arch:
        found.append(f"--model {options.model} is a plug-in module's backbone; add --method pim, or take a timm name")
    if options.eval_view not in RECIPES:
        found.append(f"--eval-view {options.eval_view} is unknown; crop, warp, pim, or one of {', '.join(RECIPES)}")
    if options.crop_pct is not None and options.crop_pct not in (0.875, 1.0):
        found.append(f"--crop-pct {options.crop_pct:g} is not offered; 0.875 and 1 are, or choose an --eval-view")
    return found


def check_optimisation(options: FinetuneOptions) -> list[str]:
    """Optimiser and augmentation."""
    found = []
    if options.opt not in ("adamw", "sgd", "momentum"):
        found.append(f"--opt {options.opt} is not offered; adamw, sgd (Nesterov) and momentum (without) are")
    if not 0 < options.scale[0] <= options.scale[1] <= 1:
        least, most = options.scale
        found.append(f"--scale {least:g} {most:g}: the least and the most area, above 0 and up to 1")
    if "warmup_lr" in list_given(options) and options.warmup_lr > options.peak_lr:
        found.append(f"--warmup-lr {options.warmup_lr:g} is above the rate that it should rise to, {options.peak_lr:g}")
    found += find_doubles(options, ("min_lr", "min_lr_ratio"), ("use_amp", "precision"), ("crop_pct", "eval_view"))
    if options.cutmix_minmax and not 0 <= options.cutmix_minmax[0] <= options.cutmix_minmax[1] <= 1:
        found.append("--cutmix-minmax: the least and the most side, within 0..1")
    return found


def check_method(options: FinetuneOptions) -> list[str]:
    """What a method needs, and flags of another one."""
    found = []
    distils = options.distillation_type != "none"
    if options.method == "distill" and not distils:
        found.append("--method distill with --distillation-type none has nothing to imitate; use --method plain")
    if options.method != "distill" and distils:
        found.append(f"--distillation-type {options.distillation_type} needs --method distill, not {options.method}")
    if options.method == "distill" and options.teacher_path is None and not options.eval:
        found.append("--teacher-path is missing: a network trained on the same classes, e.g. the folder of "
                     "--method teacher, with --teacher-model naming the architecture of a public file")
    if options.method == "pim" and options.use_combiner and not options.use_selection:
        found.append("--use-combiner needs --use-selection: its nodes are the kept positions")
    if options.method == "pim" and options.taps is not None and len({type(tap) for tap in options.taps}) != 1:
        found.append("--taps: indices, or names of modules, at least one and of one kind")
    if options.teacher_cache and options.method != "distill":
        found.append("--teacher-cache needs --method distill")
    if options.teacher_cache and (options.mixup or options.cutmix or options.cutmix_minmax):
        found.append("--teacher-cache remembers answers to unmixed images; use --mixup 0 --cutmix 0")
    return found


def check_finetune_sources(options: FinetuneOptions) -> None:
    """Raise ConfigError for start weights or a teacher that are not there, before anything is built."""
    problems = Problems()
    for name in ("pretrained", "teacher_path"):
        source = getattr(options, name)
        problems.attempt(lambda: check_weights(options, name, [find_weight_file(source)] if source else []))
    problems.refuse()


def find_weight_file(source: str) -> str:
    """A source as it is, or the network within a run's folder."""
    return str(Path(source) / "model_last.pth") if Path(source).is_dir() else source


def look(options: FinetuneOptions) -> None:
    """Raise ConfigError for weights that are not there and augmentations that timm cannot build; none with --eval."""
    if options.eval:
        return
    problems = Problems()
    problems.attempt(lambda: check_finetune_sources(options))
    problems.attempt(lambda: training_view(options))
    problems.refuse()
