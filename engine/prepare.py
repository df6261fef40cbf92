"""The photographs of a run, checked before hours are spent: they exist, they decode, they have crops, they suffice."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from datasets.images import DataError, ImageSet, find_undecodable, scan, without
from datasets.layouts import Labels
from datasets.multi_context import Crops
from engine import distributed
from engine.absent import check_weights
from engine.args import name_flags
from models.teachers import check_teacher
from runtime.errors import Problems
from runtime.safe_names import safe_name

SHOWN = 10


def load_images(
    root: str, split: str, *, skip_bad: bool, workers: int = 0, labels: Labels = "searched", crop_bottom: int = 0
) -> ImageSet:
    """The images of a split that decode; raises DataError naming those that do not, unless `skip_bad`.

    `labels` says what they are for, see `datasets.layouts.read_listing`.
    """
    return check_images(scan(root, split, labels), skip_bad=skip_bad, workers=workers, crop_bottom=crop_bottom)


def need_classes(images: ImageSet) -> None:
    """Raise DataError where there is nothing to tell apart: one class, as of a folder one level too high or low."""
    if len(images.classes) < 2:
        named = "".join(f" ({name!r})" for name in images.classes)
        raise DataError(f"{images.root}: {len(images.classes)} class{named}, and telling classes apart needs two; give "
                        "the folder whose folders are the classes, or a .csv list with columns path,label,split")


def check_images(images: ImageSet, *, skip_bad: bool, workers: int = 0, crop_bottom: int = 0) -> ImageSet:
    """Those that decode; raises DataError naming those that do not, unless `skip_bad`.

    Of each, `crop_bottom` pixel rows are going to be dropped, and something must be left. With several processes the
    main one looks and the others are told.
    """
    bad = distributed.broadcast_object(
        find_undecodable(images, workers, crop_bottom) if distributed.is_main() else None)
    if not bad:
        return images
    listing = "\n".join(f"  {reason}" for _, reason in sorted(bad.items())[:SHOWN])  # a reason names its file
    more = f"\n  (+{len(bad) - SHOWN} more)" if len(bad) > SHOWN else ""
    if not skip_bad:
        raise DataError(f"{len(bad)} of {len(images)} images do not decode:\n{listing}{more}\n"
                        "Replace or remove them, or leave them out with --skip-bad")
    if distributed.is_main():
        print(f"leaving out {len(bad)} of {len(images)} images that do not decode:\n{listing}{more}")
    return without(images, bad.keys())


def load_validation(args: argparse.Namespace) -> ImageSet:
    """The labelled images of the `val` split; raises DataError when there is none: test is never monitored."""
    images = load_images(args.root, "val", skip_bad=args.skip_bad, crop_bottom=args.crop_bottom)
    if bool((images.labels < 0).all()) or len(images.labels.unique()) == len(images):
        raise DataError(f"{args.root}: --monitor-retrieval needs a val split with two images or more of some class")
    return images


def crop_folder(args: argparse.Namespace) -> Path | None:
    """The folder that `--crop-root` means; None when whole images stand in for crops."""
    if args.crop_root == "none":
        return None
    if args.crop_root == "auto":
        made_by_ddt = args.root is not None and (Path(args.root) / "ddt.json").is_file()
        return Path(args.root) if made_by_ddt else Path("DDT/crop_dataset") / f"{safe_name(args.task, room=5)}_crop"
    return Path(args.crop_root)


def find_crops(folder: Path, prefer: str, task: str, root: str | Path) -> Crops:
    """The crops in a folder; raises DataError with the command that makes them when it is not there."""
    if not folder.exists():
        raise DataError(f"no crops at {folder}. {crop_remedy(task, root)}")
    return Crops.open(folder, prefer=prefer)


def need_crops(crops: Crops, images: ImageSet, task: str, root: str | Path) -> None:
    """Raise DataError listing the images that have no crop, with the command that makes them."""
    absent = crops.missing(images)
    if absent:
        listing = "\n".join(f"  {key}" for key in absent[:SHOWN])
        more = f"\n  (+{len(absent) - SHOWN} more)" if len(absent) > SHOWN else ""
        raise DataError(f"{len(absent)} of {len(images)} {images.split} images have no crop in {crops.root}:\n"
                        f"{listing}{more}\n{crop_remedy(task, root)}")


def crop_remedy(task: str, root: str | Path) -> str:
    """The ways out when crops are missing."""
    return (f"Make them with `./run_ddt.sh {task} {root} WEIGHTS cpu`, name their folder with --crop-root, "
            "or take whole images (--crop-root none in training, --input full in evaluation)")


def open_crops(args: argparse.Namespace, images: ImageSet | None) -> Crops | None:
    """The crops of a training run, None for whole images; raises DataError when some or all are missing."""
    folder = crop_folder(args)
    if folder is None:
        return None
    crops = find_crops(folder, args.crop_from, args.task, args.root)
    if images is not None:
        need_crops(crops, images, args.task, args.root)
    return crops


def find_crop_bottom(wanted: int | str, task: str) -> int:
    """Pixel rows to drop at the bottom: what was asked for, else FGVC-Aircraft's banner of 20."""
    if wanted == "auto":
        return 20 if task == "aircraft" else 0
    return int(wanted)


def name_text_files(text_load: str) -> tuple[Path, Path]:
    """The tensor and the descriptions that `--text-load` means: either file may be named, the other follows from it."""
    given = Path(text_load)
    if given.suffix.lower() == ".csv":
        return Path("text_description_tensor") / f"{given.stem}_text_tensor.pt", given
    return given, Path("text_description") / f"{given.stem.removesuffix('_text_tensor')}.csv"


def missing_text(args: argparse.Namespace) -> list[str]:
    """A problem line when there is neither a text tensor nor the descriptions that it could be made of."""
    tensor, source = name_text_files(args.text_load)
    if tensor.is_file() or source.is_file():
        return []
    return [f"--text-load {args.text_load}: no such text tensor, and no {source} to make it of. Make one with "
            "`python -m tools.encode_text FILE.csv --weights ViT-B-16.pt`, or take none for the vocabulary-free mode"]


def check_sources(args: argparse.Namespace) -> None:
    """Raise ConfigError for a teacher or a text that is not there, before anything is computed."""
    if args.method != "lead":
        return
    problems = Problems()
    if args.teacher == "clip" and args.text_load is not None:
        problems.lines += missing_text(args)
    problems.attempt(lambda: check_weights(args, "teacher_weights", (args.teacher_weights or "none").split("+")))
    for name in args.teacher.split("+"):
        problems.attempt(lambda: check_member(args, name))
    problems.refuse()


def check_member(args: argparse.Namespace, name: str) -> None:
    """Raise WeightsError for a teacher's unknown name, or a side that it cannot look at."""
    with name_flags(args, "teacher", "teacher_arch"):
        check_teacher(name, args.teacher_arch, args.teacher_size or None)


def count_workers(wanted: int | str) -> int:
    """Loader processes per rank: what was asked for, or one per core and rank, at most 8."""
    if wanted != "auto":
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // distributed.world()))


def need_disk(folder: Path, needed: int) -> list[str]:
    """A problem line when the disk under `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return []
    return [f"{folder}: {free / 1e6:.0f} MB free, but the run's checkpoints need about {needed / 1e6:.0f} MB; "
            "make room or give another --results-dir"]
