"""What a configuration file of a public code means in our flags: prints the commands, and a note for each key left out.

python -m tools.convert_config configs/byol_cub200.yaml --root CUB200
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import yaml

from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser, add_options, gather_options
from runtime.errors import ConfigError
from runtime.options import Options, flag, word

Settings = Mapping[str, object]
Flat = dict[str, Any]  # what YAML holds, by the names of branches joined by points
TASKS = {"cub200": "cub", "stanfordcars": "cars", "aircrafts": "aircraft"}


@dataclass
class Conversion:
    """Commands as lists of words, and what could not be carried over, in words."""

    commands: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def flatten_config(tree: Settings, prefix: str = "") -> Flat:
    """{"train": {"lr": 1}} -> {"train.lr": 1}; a branch without a value stays as None."""
    flat: Flat = {}
    for name, value in tree.items():
        flat |= flatten_config(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


# A key's flag in main_pretrain.py; values go over as they are.
BYOL_TRAINING = {
    "dataset.image_size": "--size", "dataset.num_workers": "--num-workers", "train.optimizer.weight_decay": "--wd",
    "train.optimizer.momentum": "--momentum", "train.warmup_epochs": "--warmup-epochs",
    "train.warmup_lr": "--warmup-lr", "train.base_lr": "--lr", "train.final_lr": "--final-lr",
    "train.num_epochs": "--schedule-epochs", "train.stop_at_epoch": "--epochs", "train.batch_size": "--batch-size",
    "train.knn_k": "--knn-k", "seed": "--seed"}
BYOL_PROBE = {"dataset.num_workers": "--num-workers", "eval.batch_size": "--batch-size", "eval.num_epochs": "--epochs"}
BYOL_KNOWN = {"name", "dataset.name", "model.name", "model.backbone", "train.optimizer.name", "train.knn_monitor",
              "train.knn_interval", "eval.base_lr", "eval.optimizer.name", "logger.tensorboard", "logger.matplotlib"}
# What the probe does anyway.
BYOL_FIXED = {"eval.optimizer.weight_decay": 0, "eval.optimizer.momentum": 0.9, "eval.warmup_epochs": 0,
              "eval.warmup_lr": 0, "eval.final_lr": 0}
OPTIMIZERS = {"lars_simclr": "lars", "lars": "lars", "larc": "lars", "sgd": "sgd"}
ALIASES = {"train.optimizer.wd": "train.optimizer.weight_decay", "eval.optimizer.wd": "eval.optimizer.weight_decay",
           "train.knn_monitor_interval": "train.knn_interval"}


def convert_byol(flat: dict[str, object], root: str, run: str) -> Conversion:
    """The yaml files of LCR's BYOL path: pre-training and probe. Rates in them are for 256 images."""
    answer = Conversion()
    task = TASKS.get(str(flat.get("dataset.name")), "custom")
    if any(name.startswith("train.") for name in flat):
        answer.commands.append(train_byol(flat, answer.notes, task, root, run))
    else:
        answer.notes.append("train: there is nothing to train, only the probe is left")
    if any(name.startswith("eval.") for name in flat):
        answer.commands.append(probe_byol(flat, task, root, run))
    handled = {*BYOL_TRAINING, *BYOL_PROBE, *BYOL_KNOWN, *BYOL_FIXED, "train", "eval"}
    left = {name: value for name, value in flat.items() if name not in handled}
    answer.notes += [f"{name}: {value!r} has no counterpart here" for name, value in left.items()]
    answer.notes += [f"{name}: {flat[name]!r}; the probe here always has {value!r}"
                     for name, value in BYOL_FIXED.items() if flat.get(name) not in (None, value)]
    return answer


def train_byol(flat: dict[str, object], notes: list[str], task: str, root: str, run: str) -> list[str]:
    """The words of main_pretrain.py."""
    words = ["python", "main_pretrain.py", "--method", "lcr-byol", "--task", task, "--root", root,
             "--results-dir", f"checkpoints/{run}", "--scale-lr", "true"]
    optimizer = str(flat.get("train.optimizer.name", "lars_simclr"))
    words += ["--optimizer", OPTIMIZERS.get(optimizer, "lars")]
    if optimizer not in ("lars_simclr", "sgd"):
        notes.append(f"train.optimizer.name: {optimizer} becomes {words[-1]}")
    for name, ours in BYOL_TRAINING.items():
        if flat.get(name) is not None:
            words += [ours, f"{flat[name]:g}" if isinstance(flat[name], float) else str(flat[name])]
    backbone = str(flat.get("model.backbone", "resnet50"))
    words += ["--arch", backbone.partition("_")[0]]
    if "cifar" in backbone:
        notes.append(f"model.backbone: {backbone} is {words[-1]} here, without the small stem")
    words += ["--monitor-every", str(flat.get("train.knn_interval") or 1) if flat.get("train.knn_monitor") else "0"]
    words += ["--logger", "tensorboard"] if flat.get("logger.tensorboard") else []
    notes.append("for the public code's arithmetic (no max-pool, inert momentum) add --recipe seed --momentum 0")
    return words


def probe_byol(flat: Flat, task: str, root: str, run: str) -> list[str]:
    """The words of main_linear.py: the descriptor of LCR, one rate, a cosine."""
    rate = float(flat.get("eval.base_lr") or 30) * float(flat.get("eval.batch_size") or 256) / 256
    words = ["python", "main_linear.py", "--task", task, "--root", root, "--pretrained", run, "--input", "full",
             "--feature", "masked", "--results-dir", f"checkpoints_linear/{run}", "--lr", f"{rate:g}", "--cos", "true",
             "--hold-out", "0"]
    for name, ours in BYOL_PROBE.items():
        if flat.get(name) is not None:
            words += [ours, str(flat[name])]
    return words


# A key's flag in main_finetune.py.
PIM_FLAGS = {
    "num_classes": "--nb-classes", "data_size": "--size", "num_workers": "--num-workers", "batch_size": "--batch-size",
    "update_freq": "--update-freq", "model_name": "--model", "optimizer": "--opt", "max_lr": "--lr", "wdecay": "--wd",
    "max_epochs": "--epochs", "warmup_batchs": "--warmup-batchs", "use_amp": "--use-amp", "use_fpn": "--use-fpn",
    "fpn_size": "--fpn-size", "use_selection": "--use-selection", "use_combiner": "--use-combiner",
    "lambda_b": "--lambda-b", "lambda_s": "--lambda-s", "lambda_n": "--lambda-n", "lambda_c": "--lambda-c",
    "eval_freq": "--eval-freq", "use_wandb": "--enable-wandb"}
PIM_KNOWN = {"project_name", "exp_name", "train_root", "val_root", "pretrained", "log_freq", "wandb_entity"}
PIM_EVALUATION = ("num_classes", "data_size", "num_workers", "batch_size", "model_name", "use_fpn", "fpn_size",
                  "use_selection", "use_combiner")  # what a run without training asks for


def convert_pim(flat: dict[str, object], root: str, run: str) -> Conversion:
    """PIM's yaml files: training, or evaluation when `train_root` is null."""
    answer = Conversion()
    names = [str(flat[key]) for key in ("project_name", "exp_name") if flat.get(key)]
    folder = "_".join(names) if run == "run" and names else run
    words = ["python", "main_finetune.py", "--method", "pim"]
    trains = flat.get("train_root") is not None
    if trains:
        train = str(flat["train_root"]) if root == "DATASET" else root
        words += ["--train-root", train, "--results-dir", f"checkpoints/{folder}"]
        words += ["--finetune", str(flat["pretrained"])] if flat.get("pretrained") else []
    else:
        words += ["--eval", "--resume", str(flat.get("pretrained") or f"checkpoints/{folder}"),
                  "--results-dir", f"checkpoints/{folder}_eval"]
    words += ["--val-root", str(flat["val_root"])] if flat.get("val_root") else []
    for name, ours in PIM_FLAGS.items():
        if flat.get(name) is not None and (trains or name in PIM_EVALUATION):
            words += [ours, spell_value(flat[name])]
    selects = {name.partition(".")[2]: value for name, value in flat.items() if name.startswith("num_selects.")}
    words += ["--num-selects", ",".join(f"{name}={value}" for name, value in selects.items())] if selects else []
    answer.commands.append(words)
    if trains and not flat.get("val_root"):
        answer.notes.append("val_root is null: nothing is evaluated without a test folder or --val-share 0.1")
    if flat.get("wandb_entity"):
        answer.notes.append("wandb_entity: W&B takes it from its environment, WANDB_ENTITY")
    answer.notes += [f"{name}: {value!r} has no counterpart here" for name, value in flat.items()
                     if name not in {*PIM_FLAGS, *PIM_KNOWN} and not name.startswith("num_selects")]
    return answer


def spell_value(value: object) -> str:
    """A yaml value as a word of the command line."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


# A file belongs to the first code that recognises it: (what it is, is it this one?, conversion).
CODES = (("LCR's BYOL", lambda flat: flat.get("model.name") == "byol", convert_byol),
         ("PIM", lambda flat: "model_name" in flat and "lambda_b" in flat, convert_pim))


def convert(tree: object, *, root: str, run: str | None = None) -> Conversion:
    """The commands that a parsed yaml file stands for; raises ConfigError for one of an unknown code."""
    flat = flatten_config(tree) if isinstance(tree, Mapping) else {}
    flat = {ALIASES.get(name, name): value for name, value in flat.items()}
    for _, is_this, translate in CODES:
        if is_this(flat):
            return translate(flat, root, run or str(flat.get("name") or "run"))
    known = ", ".join(name for name, *_ in CODES)
    raise ConfigError(f"this is no configuration of a code known here ({known}); top-level keys: "
                      f"{', '.join(map(str, tree)) if isinstance(tree, Mapping) else 'none'}")


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Options):
    """Which file is converted, and what the commands call data set and run."""

    config: Path = word("a configuration of LCR's BYOL path, or of PIM", "FILE.yaml", Path)
    root: str = flag("DATASET", None, "the data set; PIM's files name their own", metavar="DIR")
    name: str | None = flag(None, None, "folder under checkpoints/; default: the file's own name")


def parse(argv: Sequence[str] | None = None) -> ConvertOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.convert_config", description="A public code's configuration in our flags.")
    add_options(parser, ConvertOptions)
    options, problems = gather_options(parser, ConvertOptions, argv)
    problems.refuse()
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    try:
        tree = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{options.config} cannot be read as yaml: {error}") from error
    conversion = convert(tree, root=options.root, run=options.name)
    for note in conversion.notes:
        print(f"# {note}")
    for command in conversion.commands:
        print(shlex.join(command))


if __name__ == "__main__":
    exit_cleanly(main)
