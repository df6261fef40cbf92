"""Labels that an expert wrote into a table, and folders that hold every picture under its label."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from datasets.images import ImageSet
from datasets.layouts.folders.names import find_same_names
from datasets.layouts.listing import show_first
from datasets.layouts.tables import read_rows
from datasets.tars.member import TarMember, need_files
from runtime.errors import DataError
from runtime.files import write_atomically, write_bytes
from runtime.folders.claims import MARK, claim_folder
from runtime.names.safe import name_each
from runtime.names.spelling import unspell, unspell_path

FILING = "tools.sort --apply"


def read_labels(path: str | Path, images: ImageSet, least: int = 2) -> dict[int, str]:
    """Labels by image index, `least` different ones; a path is a key, a file, or a name that only one image has.

    Raises DataError that lists all unknown paths and all images with two labels.
    """
    places = find_image_names(images)
    given: dict[int, str] = {}
    problems = []
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; it should have the columns path,label")
    for line, row in read_rows(Path(path), ("path", "label")):
        name, label = row["path"], unspell(row["label"])
        index = find_place(places, name)
        if not label:
            continue
        if index is None:
            problems.append(f"line {line}: {name or 'no path'} is not among the {len(images)} photographs")
        elif given.setdefault(index, label) != label:
            problems.append(f"line {line}: {name} is {label!r} here and {given[index]!r} before")
    problems += [f"labels that differ by spelling only: {', '.join(map(ascii, names))}; write one of them"
                 for names in find_same_names(set(given.values()))]
    if len(set(given.values())) < least:
        problems.append(f"{len(set(given.values()))} different labels are given; it takes at least {least}"
                        + " to tell apart" * (least > 1))
    if problems:
        raise DataError(f"{path}: labels cannot be used; fix these\n  " + show_first(problems, "\n  "))
    return given


def has_written_labels(path: Path) -> bool:
    """Whether the table has at least one label."""
    return any(row["label"] for _, row in read_rows(path, ("path", "label")))


def find_image_names(images: ImageSet) -> dict[str, int]:
    """Every name under which a labels file may call an image."""
    names: dict[str, int | None] = {}
    for index, sample in enumerate(images.samples):
        names[sample.path.name] = None if sample.path.name in names else index
    places = {name: index for name, index in names.items() if index is not None}
    for index, sample in enumerate(images.samples):
        places |= {os.path.realpath(sample.path): index, sample.key: index}
    return places


def find_place(places: Mapping[str, int], name: str) -> int | None:
    """The image that a table calls `name`: as written, as our tables spell it, or with Windows' separators."""
    for reading in (name, unspell(name), unspell_path(name)):
        for place in (os.path.normpath(reading), os.path.realpath(reading)):
            if place in places:
                return places[place]
    return None


def file_pictures(images: ImageSet, names: Sequence[str], target: Path, how: str) -> int:
    """Link ("link") or copy ("copy") every picture into the folder `target`/name; returns how many. Originals stay.

    `target` gets its name when all are in it: what a kill leaves half-filled is hidden beside it, and emptied the next
    time. Raises DataError for names that would share a folder.
    """
    if how == "link":
        need_linkable(images)
    folders, target = name_each(names), Path(os.path.realpath(target))
    unfinished = target.with_name(f".{target.name}.unfinished")
    claim_folder(unfinished, FILING, makes=("*",))
    filed = fill_folders(unfinished, images, [folders[name] for name in names], how)
    with suppress(OSError):
        target.rmdir()  # an empty one is replaced; some systems would refuse
    unfinished.rename(target)
    (target / MARK).unlink()
    return filed


def fill_folders(target: Path, images: ImageSet, folders: Sequence[str], how: str) -> int:
    """Every picture in its folder of `target`; how many there are."""
    taken: set[str] = set()
    for sample, name in zip(images.samples, folders, strict=True):
        place = find_free(target / name / sample.path.name, taken)
        place.parent.mkdir(parents=True, exist_ok=True)
        if how == "copy":
            copy_picture(sample.path, place)
        else:
            link(sample.path.resolve(), place)
    return len(taken)


def need_linkable(images: ImageSet) -> None:
    """Raise DataError for pictures that no link can lead to."""
    need_files((sample.path for sample in images.samples), "linking to them (copying does not)")


def copy_picture(source: Path, target: Path) -> None:
    """Copy a file with its dates, or one out of an archive."""
    if isinstance(source, TarMember):
        write_bytes(target, source.read_bytes(), sync=False)
    else:
        write_atomically(target, partial(shutil.copy2, source), sync=False)


def find_free(place: Path, taken: set[str]) -> Path:
    """The place, or with _2, _3, ... where its name is taken (in any case of letters); notes it as taken."""
    free, number = place, 1
    while str(free).lower() in taken:
        number += 1
        free = place.with_name(f"{place.stem}_{number}{place.suffix}")
    taken.add(str(free).lower())
    return free


def link(source: Path, place: Path) -> None:
    """A hard link, or a symbolic one where the disk does not allow it; raises DataError for a file that is gone."""
    if not source.exists():
        raise DataError(f"{source} is gone: moved or removed since the photographs were listed")
    try:
        os.link(source, place)
    except OSError:
        place.symlink_to(source)
