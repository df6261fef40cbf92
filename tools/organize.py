"""Turn a published data set into train/<class>/ and test/<class>/ folders: CUB, Aircraft, Cars, Dogs, PyPI's elpv.

    python -m tools.organize cub --source CUB_200_2011 --out bird --link hard
    python -m tools.organize elpv --out demo/elpv
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tqdm import tqdm

from datasets.layouts.cars import ALL_CARS, CAR_LISTS, CAR_NAMES, find_list
from datasets.layouts.elpv import copy_draw, find_package, read_classes
from datasets.layouts.findings import announce
from datasets.layouts.labelled import DOG_LISTS, find_dog_lists, variant_folder
from datasets.layouts.listing import Entry, show_first
from datasets.layouts.read import read_listing
from datasets.tars.member import need_files
from engine.flags.command import exit_cleanly
from engine.flags.organize import parse
from runtime.errors import DataError
from runtime.files import write_atomically
from runtime.folders.overlaps import find_overlaps
from runtime.names.safe import name_each

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Placement:
    """One image's way: the file it is, and where it goes below the new root."""

    source: Path
    target: str

    @property
    def split(self) -> str:
        """The target's first folder."""
        return self.target.split("/")[0]


def place_image(path: Path, split: str, folder: str) -> Placement:
    """An image's place by split and class folder."""
    return Placement(path, f"{split}/{folder}/{path.name}")


def name_class_folders(classes: Iterable[str]) -> dict[str, str]:
    """The folder of every class: slashes leave its name, spaces stay. Raises DataError for classes that would merge."""
    bare = {name: name.replace("/", "") for name in classes}
    folders = name_each(bare.values(), "classes")
    owners: dict[str, str] = {}
    clashes = [f"{owners[folder]!r} and {name!r}" for name, folder in bare.items()
               if owners.setdefault(folder, name) != name]
    if clashes:
        raise DataError(f"these classes would share a folder: {show_first(clashes)}; rename one of each in the lists")
    return {name: folders[folder] for name, folder in bare.items()}


def plan_listed(source: Path) -> list[Placement]:
    """CUB, FGVC-Aircraft, or a tree with train/ and test/ already: everything that the layout's own lists name."""
    listing = read_listing(source)
    need_files((entry.path for entry in listing.entries), "placing them")
    announce(listing)
    if not listing.classes or "test" not in listing.splits:
        raise DataError(f"{source}: not the unpacked data set (its {len(listing.entries)} images are in no known list)")
    folders = name_class_folders(dict.fromkeys(_name_class(entry) for entry in listing.entries))
    return [place_image(entry.path, entry.split, folders[_name_class(entry)]) for entry in listing.entries]


def _name_class(entry: Entry) -> str:
    """An entry's class; raises DataError for an image without one."""
    if entry.class_name is None:
        raise DataError(f"{entry.path}: lies in no class folder")
    return entry.class_name


def plan_aircraft(source: Path) -> list[Placement]:
    """FGVC-Aircraft-2013b by variant: trainval is train."""
    folder = variant_folder(source) or source / "data"
    require([folder / f"images_variant_{part}.txt" for part in ("trainval", "test")])
    return plan_listed(source)


def plan_cub(source: Path) -> list[Placement]:
    """CUB-200-2011 with its official split."""
    require([source / name for name in ("images.txt", "train_test_split.txt", "images")])
    return plan_listed(source)


def plan_cars(source: Path) -> list[Placement]:
    """Stanford Cars: the devkit's lists (one a split, or the older cars_annos.mat), or train/ and test/ folders."""
    if (source / "train").is_dir() and (source / "test").is_dir():
        return plan_listed(source)
    if find_list(source, ALL_CARS) is None:
        absent = [name for name in (*CAR_LISTS.values(), CAR_NAMES) if find_list(source, name) is None]
        if absent:
            raise DataError(f"{source}: no {', '.join(absent)} in it or its devkit/; unpack the devkit there as well")
    return plan_listed(source)


def plan_dogs(source: Path) -> list[Placement]:
    """Stanford Dogs: train_list.mat and test_list.mat over Images/; class folders keep their names."""
    found = {path.name for path in find_dog_lists(source)}
    absent = [name for name in DOG_LISTS if name not in found]
    if absent:
        raise DataError(f"{source}: no {', '.join(absent)} in it, lists/ or splits/; unpack lists.tar there as well")
    require([source / "Images"])
    return plan_listed(source)


PLANS: dict[str, Callable[[Path], list[Placement]]] = {
    "cub": plan_cub,
    "aircraft": plan_aircraft,
    "cars": plan_cars,
    "dogs": plan_dogs,
}


def require(paths: Sequence[Path]) -> None:
    """Raise DataError that lists every path that is not there."""
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise DataError("these are missing; unpack the data set again, or check --source:\n  "
                        + show_first(absent, "\n  "))


def check(placements: list[Placement], out: Path) -> None:
    """Raise DataError unless every source is there, no two share a target, and `out` holds nothing else."""
    require([placement.source for placement in placements])
    repeated = [target for target, times in Counter(placement.target for placement in placements).items() if times > 1]
    if repeated:
        raise DataError(f"{len(repeated)} targets come twice ({show_first(repeated)}); the lists are damaged, "
                        "unpack again")
    wanted = {placement.target: placement.source for placement in placements}
    strangers = [name for name in _list_files(out) if name not in wanted or _differ(out / name, wanted[name])]
    if strangers:
        raise DataError(f"{out}: holds other files already ({show_first(strangers)}); give an empty or new "
                        "folder as --out")


def _list_files(folder: Path) -> list[str]:
    """Every visible file below a folder, '/'-separated; a copy that was interrupted (.part) is none."""
    files = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    visible = (path for path in files if not path.name.startswith(".") and path.suffix != ".part")
    return sorted(path.relative_to(folder).as_posix() for path in visible)


def _differ(one: Path, other: Path) -> bool:
    """Whether two files hold different bytes."""
    return not one.exists() or not (one.samefile(other) or filecmp.cmp(one, other, shallow=False))


def transfer(placements: list[Placement], out: Path, link: str) -> None:
    """Copy or link every file that is not there yet."""
    for placement in tqdm(placements, unit="img", desc="organising"):
        target = out / placement.target
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if link == "hard":
            os.link(placement.source.resolve(), target)
        elif link == "soft":
            target.symlink_to(placement.source.resolve())
        else:
            write_atomically(target, partial(shutil.copyfile, placement.source), sync=False)
            clear_interrupted(target)


def clear_interrupted(target: Path) -> None:
    """Remove what an older version left of a copy that was interrupted: the beginning of the file, as .part."""
    part = target.with_name(f"{target.name}.part")
    if part.is_file() and target.read_bytes().startswith(part.read_bytes()):
        part.unlink()


def count_placements(placements: list[Placement], out: Path) -> str:
    """Images and classes per split, listed and found on disk; raises DataError when they differ."""
    found = Counter(name.split("/")[0] for name in _list_files(out))
    listed = Counter(placement.split for placement in placements)
    if found != listed:
        raise DataError(f"{out}: listed {dict(listed)}, found {dict(found)}; run the command again")
    lines = [f"{'split':<8}{'classes':>8}{'listed':>8}{'found':>8}"]
    for split in sorted(listed, reverse=True):
        classes = {placement.target.split("/")[1] for placement in placements if placement.split == split}
        lines.append(f"{split:<8}{len(classes):>8}{listed[split]:>8}{found[split]:>8}")
    return "\n".join(lines)


def organize(name: str, source: Path, out: Path, link: str = "none") -> str:
    """Organise one data set and return the table of counts; nothing is written before everything has been checked."""
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; --source is the unpacked data set")
    placements = PLANS[name](source)
    overlaps = find_overlaps({"--out": out}, [("--source", source)])
    if overlaps:
        raise DataError("\n".join(overlaps))
    check(placements, out)
    try:
        transfer(placements, out, link)
    except OSError as error:
        raise DataError(f"{out}: {error}; another --link (none, hard, soft) may work on this disk") from error
    return count_placements(placements, out)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    if options.source is not None:
        return print(organize(options.dataset, options.source, options.out, options.link))
    from engine.results_folder import hold_results  # after the flags: --help does without torch

    found = read_classes(find_package())
    with hold_results(options.out):
        print(copy_draw(found, options.out, options))


if __name__ == "__main__":
    exit_cleanly(main)
