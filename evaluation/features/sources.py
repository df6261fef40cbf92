"""What the flags of an evaluation point to: weights, data set, crops, device."""

from __future__ import annotations

import argparse
import copy
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from datasets.crops import Crops, crop_folder, find_crops
from datasets.views.recipes import AUGMENTATIONS, RECIPES
from evaluation.run_record import (
    ARGS,
    CHECKPOINTS,
    as_list,
    find_photographs,
    find_run,
    is_resumable,
    read_args,
    read_meta,
)
from runtime.errors import ConfigError
from runtime.given import list_given
from runtime.names.safe import safe_name

EVAL_VIEWS = ("eval", "squash", "squash-exact", "short", "short-exact", "deit-eval", "warp", "pim-eval")
SOURCES = ("none", "hub")


def name_results_folder(args: argparse.Namespace) -> str:
    """A folder name for results on these weights."""
    folder = find_source(args.pretrained)[1]
    name = folder.resolve().name if folder else re.sub(r"[^\w.-]+", "-", Path(args.pretrained).name)
    return safe_name(name)


def find_source(pretrained: str) -> tuple[str, Path | None]:
    """The weights that `--pretrained` names, and the run's folder when it names one; raises ConfigError for neither."""
    if pretrained in SOURCES or pretrained.startswith("package:"):
        return pretrained, None
    if Path(pretrained).is_file():
        return pretrained, find_run(Path(pretrained))
    folders = list_run_folders(pretrained)
    # Results of a run that lies elsewhere make a folder of its name under checkpoints/; photographs may have it too.
    finished = [folder for folder in folders if (folder / "model_last.pth").is_file()]
    if len(finished) > 1 and not finished[0].samefile(finished[1]):
        print(f"note: --pretrained {pretrained} is {finished[0]}; the run in ./{finished[1]} is named by that path",
              file=sys.stderr)
    if finished:
        return str(finished[0] / "model_last.pth"), finished[0]
    begun = [folder for folder in folders if (folder / "args.json").is_file() or is_resumable(folder)]
    if begun:
        saved = is_resumable(begun[0])
        remedy = "continue it: the command that began it, with --resume" if saved else "name a finished one, or a file"
        raise ConfigError(f"{begun[0]} has no model_last.pth: no run has finished there; {remedy}")
    runs = sorted(path.parent.name for path in CHECKPOINTS.glob("*/model_last.pth"))
    raise ConfigError(f"--pretrained {pretrained} is no folder under {CHECKPOINTS}/ (finished runs: "
                      f"{', '.join(runs) or 'none'}), no weights file, and none of package:efficientnet-lite0|1|2, "
                      "hub, none" + "".join(f"; {folder} is a folder without model_last.pth" for folder in folders))


def list_run_folders(pretrained: str) -> list[Path]:
    """The folders that `--pretrained` may mean: one under checkpoints/, one here; `./NAME` is one here alone."""
    here = Path(pretrained)
    places = [here] if pretrained.startswith(("./", "../")) else [CHECKPOINTS / pretrained, here]
    return [folder for folder in dict.fromkeys(places) if folder.is_dir()]


def find_data_root(args: argparse.Namespace, folder: Path | None) -> Path:
    """`--root`, else the root the encoder was trained on, else the data set that the crops were cut from."""
    if args.root:
        return Path(args.root)
    trained_on = as_list(read_args(folder).get("root"))
    if len(trained_on) > 1:
        raise ConfigError(f"the network was trained on several data sets, {', '.join(trained_on)}: give one of them as "
                          "--root")
    if trained_on and folder is not None:
        return Path(find_photographs(trained_on, folder / ARGS)[0])
    crops = crop_folder(args)
    if crops is not None and (crops / "ddt.json").is_file():
        return crops
    raise ConfigError("the data set is unknown: give --root (DATASET in the scripts); neither the run's args.json "
                      f"nor a ddt.json in {crops} tells it")


def inherit(args: argparse.Namespace, folder: Path | None, source: str = "none") -> argparse.Namespace:
    """The flags with what the run in `folder` (else the file `source` itself) says where the user says nothing.

    Size, view and seed are always the run's; its crops and banner too on the same data set, which is one at the same
    place or, moved, of the same --task. A word is said where the user's size or view is another one.
    """
    trained = read_args(folder) or (read_meta(Path(source)) if Path(source).is_file() else {})
    filled = copy.copy(args)
    recipe = find_recipe(trained)
    filled.size = args.size or int(trained.get("size") or 224)
    filled.eval_view = recipe if args.eval_view == "auto" else args.eval_view
    tell_other(filled, trained, recipe)
    if "seed" not in list_given(args) and isinstance(trained.get("seed"), int):
        filled.seed = trained["seed"]
    if is_same_data(args, trained):
        for name in ("crop_root", "crop_bottom"):
            if getattr(args, name) == "auto" and name in trained:
                setattr(filled, name, trained[name])
        if "task" not in list_given(args):
            filled.task = str(trained.get("task", args.task))
    if filled.crop_root == "none" and args.crop_root == "auto" and args.input == "crop":
        print("note: this network was trained without crops; it looks at whole images")
        filled.input = "full"
    return filled


def find_recipe(trained: Mapping[str, object]) -> str:
    """The view in which a run's networks are tested."""
    if trained.get("augmentation") in AUGMENTATIONS:
        return AUGMENTATIONS[str(trained["augmentation"])].test
    named = str(trained.get("eval_view", "eval"))
    return named if named in RECIPES else "eval"


def tell_other(args: argparse.Namespace, trained: Mapping[str, object], recipe: str) -> None:
    """A word for a size or a view of the user's that is not the run's: allowed here, and written in the row."""
    pairs = (("--size", args.size, trained.get("size")), ("--eval-view", args.eval_view, recipe if trained else None))
    other = [f"{flag} {here} (the run: {there})" for flag, here, there in pairs if there and here != there]
    if other:
        print(f"note: looking otherwise than the network was trained for: {', '.join(other)}", file=sys.stderr)


def is_same_data(args: argparse.Namespace, trained: Mapping[str, object]) -> bool:
    """Whether the data set is the one that the run was trained on."""
    known, here = as_list(trained.get("root")) + as_list(trained.get("test_root")), as_list(getattr(args, "root", None))
    if {Path(place).resolve() for place in here} <= {Path(place).resolve() for place in known}:
        return True
    return args.task == trained.get("task") != "custom" and args.task is not None


def choose_crops(args: argparse.Namespace, root: Path) -> Crops:
    """The crops of the data set; raises ConfigError for `--crop-root none`, DataError when they are missing."""
    folder = crop_folder(args)
    if folder is None:
        raise ConfigError("--crop-root none leaves no crops to look at; look at whole images with --input full")
    return find_crops(folder, args.crop_from, args.task, root)
