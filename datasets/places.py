"""Where a command reads and where it writes: no output may fall on an input."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from datasets.layouts.folders.names import recognise_splits
from runtime.errors import refuse
from runtime.folders.overlaps import find_overlaps
from runtime.options import Options, list_given

# Options by their names, and what people call them.
OUTPUTS = {"results_dir": "--results-dir", "out": "--out", "cache": "--cache"}
INPUTS = {"folder": "FOLDER", "root": "--root", "test_root": "--test-root", "pictures": "PICTURE", "image": "--image",
          "labels": "--labels", "boxes": "--boxes", "pretrained": "--pretrained",
          "teacher_path": "--teacher-path", "teacher_weights": "--teacher-weights", "text_load": "--text-load",
          "gt": "--gt", "text": "FILE", "csv": "FILE.csv", "random_labels": "--random-labels"}
FOLDERS = ("root", "folder", "test_root", "pictures")  # the others are read as files, and their folders may be written
RUN_FILES = ("args.json", "log.jsonl", "checkpoint.pt", "checkpoint.prev.pt", "model_last.pth", "model_best.pth",
             "model_ema.pth", "results.jsonl", "curves.png", "classes.csv", "per_image.bin", "report.html",
             "report.json")

EVALUATION_FILES = ("results.jsonl", "per_query.csv", "neighbours.png", "confusion.csv", "curves.png", "sort.csv",
                    "audit.csv", "search.csv", "heatmap.csv", "heatmap.png", "ids.csv", "meta.json", "report.html",
                    "report.json", "neighbours.json")
PROBE_FILES = (*EVALUATION_FILES, "model_last.pth", "model_best.pth")


def check_places(options: Options, writes: Collection[str] = (), **more: Path) -> None:
    """Raise ConfigError with everything that `list_overlaps` finds."""
    refuse(list_overlaps(options, writes, **more))


def list_overlaps(options: Options, writes: Collection[str] = (), **more: object) -> list[str]:
    """A line for every output of the flags that is an input, or lies in a folder that is read.

    `writes` are files that the command lays into its output folder; `more` are resolved places by their flags' names.
    """
    values = {**options.settings(), **more}
    outputs = {flag: Path(values[name]) for name, flag in OUTPUTS.items()
               if values.get(name) and values[name] != "none"}
    inputs = {path: word for name, word in reversed(INPUTS.items()) for path in list_paths(values.get(name))
              if os.path.isfile(path) or (name in FOLDERS and os.path.isdir(path))}  # a place counts once
    chosen = {OUTPUTS[name] for name in list_given(options) if name in OUTPUTS}
    return find_overlaps(outputs, [(word, path) for path, word in inputs.items()], writes=writes,
                         defaults=outputs.keys() - chosen, find_splits=recognise_splits)


def list_paths(value: object) -> list[Path]:
    """The paths that a flag names; what is no path (a package, a hub) is no file later on."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return [Path(one) for one in values if isinstance(one, (str, Path)) and str(one)]
