"""What the flags of an evaluation point to: weights, data set, crops, device."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets.crops import Crops, crop_folder, find_crops
from datasets.views.recipes import AUGMENTATIONS, RECIPES
from evaluation.options import ClassifierOptions, EncoderOptions
from evaluation.run_record import (
    ARGS,
    CHECKPOINTS,
    as_list,
    find_photographs,
    find_run,
    find_selected,
    is_resumable,
    read_args,
    read_meta,
)
from runtime.errors import ConfigError
from runtime.names.safe import safe_name
from runtime.options import list_given

SOURCES = ("none", "hub")


def name_results_folder(options: EncoderOptions | ClassifierOptions) -> str:
    """A folder name for results on these weights."""
    folder = find_source(options.pretrained)[1]
    name = folder.resolve().name if folder else re.sub(r"[^\w.-]+", "-", Path(options.pretrained).name)
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
        return str(find_selected(finished[0])), finished[0]
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


def find_data_root(options: EncoderOptions, folder: Path | None) -> Path:
    """`--root`, else the root the encoder was trained on, else the data set that the crops were cut from."""
    if options.root:
        return Path(options.root)
    trained_on = as_list(read_args(folder).get("root"))
    if len(trained_on) > 1:
        raise ConfigError(f"the network was trained on several data sets, {', '.join(trained_on)}: give one of them as "
                          "--root")
    if trained_on and folder is not None:
        return Path(find_photographs(trained_on, folder / ARGS)[0])
    crops = crop_folder(options)
    if crops is not None and (crops / "ddt.json").is_file():
        return crops
    raise ConfigError("the data set is unknown: give --root (DATASET in the scripts); neither the run's args.json "
                      f"nor a ddt.json in {crops} tells it")


def inherit(options: EncoderOptions, folder: Path | None, source: str = "none") -> EncoderOptions:
    """The options with what the run in `folder` (else the file `source` itself) says where the user says nothing.

    Size, view and seed are always the run's; its crops and banner too on the same data set, which is one at the same
    place or, moved, of the same --task. A note is printed where the user's size or view differs.
    """
    trained = read_args(folder) or (read_meta(Path(source)) if Path(source).is_file() else {})
    recipe = find_recipe(trained)
    taken: dict[str, Any] = {"size": options.size or int(trained.get("size") or 224),
                             "eval_view": recipe if options.eval_view == "auto" else options.eval_view}
    tell_other(taken["size"], taken["eval_view"], trained, recipe)
    if "seed" not in list_given(options) and isinstance(trained.get("seed"), int):
        taken["seed"] = trained["seed"]
    if is_same_data(options.task, as_list(options.root), trained):
        taken |= {name: trained[name] for name in ("crop_root", "crop_bottom")
                  if getattr(options, name) == "auto" and name in trained}
        if "task" not in list_given(options):
            taken["task"] = str(trained.get("task", options.task))
    filled = replace(options, **taken)
    if filled.crop_root == "none" and options.crop_root == "auto" and options.input == "crop":
        print("note: this network was trained without crops; it looks at whole images")
        return replace(filled, input="full")
    return filled


def find_recipe(trained: Mapping[str, object]) -> str:
    """The view in which a run's networks are tested."""
    if trained.get("augmentation") in AUGMENTATIONS:
        return AUGMENTATIONS[str(trained["augmentation"])].test
    named = str(trained.get("eval_view", "eval"))
    return named if named in RECIPES else "eval"


def tell_other(size: int, view: str, trained: Mapping[str, object], recipe: str) -> None:
    """A word for a size or a view of the user's that is not the run's: allowed here, and written in the row."""
    pairs = (("--size", size, trained.get("size")), ("--eval-view", view, recipe if trained else None))
    other = [f"{flag} {here} (the run: {there})" for flag, here, there in pairs if there and here != there]
    if other:
        print(f"note: looking otherwise than the network was trained for: {', '.join(other)}", file=sys.stderr)


def is_same_data(task: str | None, roots: Sequence[str], trained: Mapping[str, object]) -> bool:
    """Whether the data set, by its folders or by its name, is the one that the run was trained on."""
    known = as_list(trained.get("root")) + as_list(trained.get("test_root"))
    if {Path(place).resolve() for place in roots} <= {Path(place).resolve() for place in known}:
        return True
    return task == trained.get("task") != "custom" and task is not None


def choose_crops(options: EncoderOptions, root: Path) -> Crops:
    """The crops of the data set; raises ConfigError for `--crop-root none`, DataError when they are missing."""
    folder = crop_folder(options)
    if folder is None:
        raise ConfigError("--crop-root none leaves no crops to look at; look at whole images with --input full")
    return find_crops(folder, options.crop_from, options.task, root)
