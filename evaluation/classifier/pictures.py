"""The pictures that a user points at: files, or a folder or list in any layout, with labels where folders name them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.class_names import Sources, count_known, relabel, without_labels
from datasets.images import ImageSet, first_split, scan
from datasets.layouts.findings import announce
from datasets.layouts.listing import Entry, Listing, Sample, show_first
from datasets.layouts.read import read_listing
from datasets.suffixes import SUFFIXES, find_remedy, find_suffix, is_image
from datasets.tars.places import find_tars, place_exists
from datasets.walk import read_folder
from runtime.errors import DataError


def gather_pictures(
    paths: Sequence[str], names: Sequence[str], sources: Sources = (), *, split: str, labels: str, text: str
) -> ImageSet:
    """Pictures in the order given, or those of one folder or list in the order of their keys.

    `labels` "folders" takes class folders for labels, all of which must be known; "none" takes every picture as
    unlabelled; "auto" is the first where any class is known, else the second with a note. `text` names the classifier.
    Raises DataError for paths that are not there, several folders, no picture, or classes that are unknown.
    """
    check_paths(paths)
    if not list_collections(paths):
        return ImageSet(Path("."), "pictures", tuple(Sample(Path(path), path, None) for path in paths), ())
    root = Path(paths[0])
    if labels == "none" and (root.is_dir() or find_tars(root)):
        return walk(root)
    images = scan(root, split if split != "auto" else find_split(root),
                  "searched" if labels == "folders" else "ignored")
    return take_labels(images, names, sources, labels, text)


def check_paths(paths: Sequence[str]) -> None:
    """Raise DataError for paths that are not there or no pictures by their names, and for several folders."""
    absent = [path for path in paths if not place_exists(path)]
    if absent:
        raise DataError(f"no such picture or folder: {show_first(absent)}")
    foreign = [path for path in paths if os.path.isfile(path) and not names_picture(path)
               and find_suffix(path) != ".csv" and not find_tars(Path(path))]
    if foreign:
        remedies = {suffix: find_remedy(suffix) for suffix in map(find_suffix, foreign) if find_remedy(suffix)}
        raise DataError(f"no pictures by their names: {show_first(foreign)}; these are: {', '.join(sorted(SUFFIXES))}"
                        + "".join(f"; {suffix}: {remedy}" for suffix, remedy in remedies.items()))
    collections = list_collections(paths)
    if collections and len(paths) > 1:
        raise DataError(f"{show_first(collections)}: give pictures, or a single folder, list or pattern of archives")


def list_collections(paths: Sequence[str]) -> list[str]:
    """Those paths that hold pictures: folders and lists."""
    return [path for path in paths if not names_picture(path) or os.path.isdir(path)]


def take_labels(images: ImageSet, names: Sequence[str], sources: Sources, labels: str, text: str) -> ImageSet:
    """The set with a classifier's labels, or without any, as `labels` says (see `gather_pictures`)."""
    if labels == "none" or not images.classes:
        return without_labels(images)
    if labels == "auto" and count_known(images, names, sources) == 0:
        print(f"note: {images.root}: none of its folders ({show_first(images.classes)}) is a class of {text} "
              f"({show_first(names)}), so its pictures count as unlabelled; --labels folders asks for a match",
              file=sys.stderr)
        return without_labels(images)
    try:
        return relabel(images, names, sources, text=text)
    except DataError as error:
        raise DataError(f"{error}; --labels none predicts without labels") from error


def find_split(root: Path, labelled: bool = False) -> str:
    """The part of a data set that is for tests, where it has parts; one with labels if `labelled`, where there is."""
    return first_split(root, "test", "val", "train", labelled=labelled)


def walk(root: Path) -> ImageSet:
    """Every picture below a folder or in archives, unlabelled, whatever the folders mean; DataError for none."""
    folder = read_folder(root) if root.is_dir() else None
    if folder is not None and folder.holds_pictures():
        entries = tuple(Entry(path, path.relative_to(root).as_posix(), None, "train") for path in folder.all_pictures())
        listing = Listing(root, entries, (), left_out=tuple(folder.all_left_out()), twice=tuple(folder.all_twice()))
    else:
        listing = read_listing(root, "ignored").without_labels()
    announce(listing)
    return ImageSet(listing.root, "pictures", tuple(Sample(one.path, one.key, None) for one in listing.entries), ())


def names_picture(path: str) -> bool:
    """Whether a path has the suffix of a picture; somebody who names a hidden file means it."""
    return is_image(os.path.basename(path).lstrip("."))
