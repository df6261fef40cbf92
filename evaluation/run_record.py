"""What a finished run says of itself, and which of its networks is meant.

A run's settings are its args.json; a file that was taken away from its folder still has those that evaluation needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from datasets.tars.places import place_exists
from evaluation.options import LABELFREE
from models.weights.files import read_checkpoint
from runtime.errors import ConfigError
from runtime.files import write_json
from runtime.options import MachineOptions, Options
from runtime.side_files import read_json

Settings = dict[str, Any]  # what args.json holds, in plain JSON types

CHECKPOINTS = Path("checkpoints")
ARGS = "args.json"
CURRENT, PREVIOUS = "checkpoint.pt", "checkpoint.prev.pt"  # where training stands, and stood at the save before
NETWORKS = ("model_last.pth", "model_best.pth", "model_ema.pth")
# What an exported file keeps of its run's flags, for the day when args.json is not beside it.
KEPT = ("method", "recipe", "task", "size", "seed", "crop_bottom", "eval_view", "augmentation", "dataset", "partition",
        "loss", "PSD", "OBDP", "diffusion_norm", "distillation_type", "ensemble_order", "pool", "normalize", "max_pool")
# What readers of args.json take from it; whatever else is there is left alone.
TEXT = (str, None)
FLAGS = {"size?": (int, None), "seed?": int, "task?": str, "root?": (str, None, [str]),
         "test_root?": (str, None, [str]),
         "method?": TEXT, "recipe?": TEXT, "crop_root?": TEXT, "crop_bottom?": (int, None), "teacher?": TEXT,
         "teacher_arch?": TEXT, "teacher_weights?": TEXT, "cam_sign?": TEXT, "eval_view?": TEXT, "augmentation?": TEXT,
         "started_in?": TEXT, "dataset?": TEXT, "select?": TEXT,
         "partition?": (int, None), "loss?": TEXT, "precision?": TEXT}


@dataclass(frozen=True)
class Finished:
    """A network that was trained before: its file, and the settings of its run, {} where none were kept."""

    network: Path
    settings: Settings

    @property
    def folder(self) -> Path | None:
        """The folder of the run, None for a file that lies elsewhere."""
        return find_run(self.network)

    @property
    def results(self) -> Path:
        """Where rows about it go: the folder of the run, else one under checkpoints/ by the file's name."""
        return self.folder or CHECKPOINTS / self.network.stem


def find_network(named: str | Path, *, best: bool = False) -> Path:
    """The file that a run (a folder, also under checkpoints/) or a file's name means, there or not.

    `best` asks for the selected epoch's.
    """
    folders = [folder for folder in (CHECKPOINTS / named, Path(named)) if folder.is_dir()]
    files = [folder / NETWORKS[best] for folder in folders] or [Path(named)]
    return next((file for file in files if file.is_file()), files[-1])


def open_finished(network: Path, *, remedy: str) -> Finished:
    """A network with what is known of its training; raises ConfigError, which ends with `remedy`, for no file."""
    if not network.is_file():
        raise ConfigError(f"no network at {network}; {remedy}")
    settings = read_settings(network)
    if not settings:
        print(f"note: {network} does not say how it was trained (no {ARGS} beside it); the flags do", file=sys.stderr)
    elif find_run(network) is None:
        print(f"note: there is no {ARGS} beside {network}; what it says of itself stands in for it", file=sys.stderr)
    return Finished(network, settings)


def open_selected(named: str | Path, selected: str | None, *, remedy: str) -> Finished:
    """The network that a run's or a file's name means, of the epoch that --select asks for, None without it.

    Then a run that selected one means that. Raises ConfigError, which ends with `remedy`, for no file.
    """
    saved = open_finished(find_network(named, best=selected == "best-val"), remedy=remedy)
    if selected is None and saved.settings.get("select") == "best-val" and Path(named) != saved.network:
        return open_finished(find_network(named, best=True), remedy=remedy)
    return saved


def is_resumable(folder: Path) -> bool:
    """True when training that stopped in this folder can go on."""
    return (folder / CURRENT).exists() or (folder / PREVIOUS).exists()


def keep_settings(options: Options) -> Settings:
    """The settings that an exported file keeps, in plain JSON types."""
    return {name: as_json(value) for name, value in options.settings().items() if name in KEPT}


def find_run(named: Path) -> Path | None:
    """The folder of the run that a folder, or a network in it, belongs to; None without an args.json."""
    folder = named if named.is_dir() else named.parent if named.name in NETWORKS else None
    return folder if folder is not None and (folder / ARGS).is_file() else None


def read_args(folder: Path | None) -> Settings:
    """The flags that a run was trained with, {} when they are not kept; raises ConfigError for a broken file."""
    path = None if folder is None else folder / ARGS
    if path is None or not path.is_file():
        return {}
    remedy = "these are not the flags of a run: delete the file and give --root and --size"
    return _place(read_json(path, FLAGS, remedy=remedy, error=ConfigError))


def find_photographs(folders: Sequence[str], settings: Path) -> list[str]:
    """The folders that a run's `settings` name, as they are; raises ConfigError where they are not there.

    A note is printed for one that only its name, seen from here, leads to: it may be another folder.
    """
    absent = [folder for folder in folders if not place_exists(folder)]
    if absent:
        raise ConfigError(f"{', '.join(absent)}: no such folder or list{_tell_here(absent)}; {settings} names it as "
                          "the data set of the run: give the place where it is now as --root")
    for folder in folders:
        if not os.path.isabs(folder):
            print(f"note: {settings} names {folder} without its whole path; {Path(folder).absolute()} is taken, --root "
                  "names another", file=sys.stderr)
    return list(folders)


def read_meta(file: Path) -> Settings:
    """What a file of this project says of itself, {} for any other file."""
    meta = read_checkpoint(file).get("meta")
    try:
        content = json.loads(meta) if isinstance(meta, str) else {}
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    view = content.get("view")  # of a classifier
    told = {"eval_view": view.get("recipe"), "size": view.get("size")} if isinstance(view, dict) else {}
    return {name: value for name, value in told.items() if value is not None} | content


def find_selected(folder: Path) -> Path:
    """The file that a finished run's folder means: the epoch selected without labels, where that was asked; or the
    last.
    """
    best = folder / "model_best.pth"
    return best if best.is_file() and read_args(folder).get("select") == LABELFREE else folder / "model_last.pth"


def read_settings(file: Path) -> Settings:
    """The settings of the run that a network's file belongs to: args.json's, else those that the file keeps."""
    return read_args(find_run(file)) or read_meta(file)


def choose_evaluation_precision(options: MachineOptions, meta: Mapping[str, object], device: torch.device) -> str:
    """--precision, else that of the run's own measurement where this machine can do it, else float32."""
    if options.precision != "auto":
        return options.precision
    own = str(meta.get("precision", "fp32"))
    return "fp32" if own == "fp16" and device.type == "cpu" else own


def as_list(folders: object) -> list[str]:
    """Folders of a flag that takes one or several, or of a run's word for it."""
    return list(map(str, folders)) if isinstance(folders, (list, tuple)) else [str(folders)] if folders else []


def show_value(value: object) -> str:
    """A value as one would type it."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "nothing"
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def as_json(value: object) -> object:
    """A value as args.json would give it back."""
    return json.loads(json.dumps(value, default=str))


def name_method(settings: Mapping[str, object]) -> str:
    """The method of a run in a word for tables: with metric learning its loss and what distils, else its own name."""
    method = str(settings.get("method") or "")
    if method == "obdsd" and settings.get("loss"):
        diffused = f"+OBDP({settings.get('diffusion_norm')})" if settings.get("OBDP") else ""
        return str(settings["loss"]) + ("+PSD" if settings.get("PSD") else "") + diffused
    kind = settings.get("distillation_type")
    return f"{kind}-distill" if method == "distill" and kind else method


def _place(settings: Settings) -> Settings:
    """The settings with their folders as seen from where the run was started."""
    start = settings.get("started_in")
    folders = {name: settings[name] for name in ("root", "test_root", "crop_root") if name in settings}
    return settings | {name: _complete(told, str(start)) for name, told in folders.items() if start}


def _complete(told: object, start: str) -> object:
    """A folder, or several, from `start` on; as it is where only that is there, as with a project that was moved."""
    if isinstance(told, list):
        return [_complete(one, start) for one in told]
    if not isinstance(told, str) or told in ("", "auto", "none"):
        return told
    there = os.path.join(start, told)
    return told if place_exists(told) and not place_exists(there) else there


def _tell_here(folders: Sequence[str]) -> str:
    """Where folders without a whole path were looked for."""
    return "" if all(map(os.path.isabs, folders)) else f" in {Path.cwd()}"


def write_args(folder: Path, options: Options) -> None:
    """Keep the resolved flags, and from where their paths are meant, for people and for later commands."""
    encoder = json.JSONEncoder(indent=1, sort_keys=True, default=str)
    write_json(folder / ARGS, options.settings() | {"started_in": os.getcwd()}, encoder)
