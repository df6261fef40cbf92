"""What the flags of an evaluation point to: weights, data set, crops, device."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from datasets.multi_context import Crops
from engine.args import ConfigError
from engine.devices import find_device
from engine.prepare import crop_folder, find_crops

CHECKPOINTS = Path("checkpoints")
SOURCES = ("none", "hub")
__all__ = ["find_device"]


def name_run(args: argparse.Namespace) -> str:
    """A folder name for results on these weights."""
    folder = find_source(args.pretrained)[1]
    return folder.name if folder else re.sub(r"[^\w.-]+", "-", Path(args.pretrained).name)


def find_source(pretrained: str) -> tuple[str, Path | None]:
    """The weights that `--pretrained` names, and the run's folder when it names one; raises ConfigError for neither."""
    if pretrained in SOURCES or pretrained.startswith("package:") or Path(pretrained).is_file():
        return pretrained, None
    folders = [folder for folder in (CHECKPOINTS / pretrained, Path(pretrained)) if folder.is_dir()]
    for folder in folders:  # results of a run that lies elsewhere make a folder of its name under checkpoints/
        if (folder / "model_last.pth").is_file():
            return str(folder / "model_last.pth"), folder
    if folders:
        raise ConfigError(f"{folders[0]} has no model_last.pth: that run has not finished; continue it with --resume")
    runs = sorted(path.parent.name for path in CHECKPOINTS.glob("*/model_last.pth"))
    raise ConfigError(f"--pretrained {pretrained} is no folder under {CHECKPOINTS}/ (finished runs: "
                      f"{', '.join(runs) or 'no one'}), no weights file, and none of package:efficientnet-lite0|1|2, "
                      "hub, none")


def read_args(folder: Path | None) -> dict[str, object]:
    """The flags that a run was trained with, {} when they are not kept."""
    if folder is None or not (folder / "args.json").is_file():
        return {}
    try:
        return json.loads((folder / "args.json").read_text(encoding="utf-8"))
    except ValueError as error:
        remedy = "delete it and give --root and --size"
        raise ConfigError(f"{folder / 'args.json'} is not JSON ({error}); {remedy}") from error


def find_root(args: argparse.Namespace, folder: Path | None) -> Path:
    """`--root`, else the root the encoder was trained on, else the data set that the crops were cut from."""
    if args.root:
        return Path(args.root)
    trained_on = read_args(folder).get("root")
    if trained_on:
        return Path(str(trained_on))
    crops = crop_folder(args)
    if crops is not None and (crops / "ddt.json").is_file():
        return crops
    raise ConfigError("the data set is unknown: give --root (DATASET in the scripts); neither the run's args.json "
                      f"nor a ddt.json in {crops} tells it")


def inherit(args: argparse.Namespace, folder: Path | None) -> argparse.Namespace:
    """Automatic flags filled in from the run in `folder`: size, and on the same data set its crops and banner."""
    trained = read_args(folder)
    filled = argparse.Namespace(**vars(args))
    filled.size = args.size or int(trained.get("size", 224))
    same = args.root is None or Path(args.root).resolve() == Path(str(trained.get("root", ""))).resolve()
    for name in ("crop_root", "crop_bottom") if same else ():
        if getattr(args, name) == "auto" and name in trained:
            setattr(filled, name, trained[name])
    if filled.crop_root == "none" and args.crop_root == "auto" and args.input == "crop":
        print("note: this network was trained without crops; it looks at whole images")
        filled.input = "full"
    return filled


def choose_crops(args: argparse.Namespace, root: Path) -> Crops:
    """The crops of the data set; raises ConfigError for `--crop-root none`, DataError when they are missing."""
    folder = crop_folder(args)
    if folder is None:
        raise ConfigError("--crop-root none leaves no crops to look at; look at whole images with --input full")
    return find_crops(folder, args.crop_from, args.task, root)
