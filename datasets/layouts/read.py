"""The layouts of data sets on disk: each is recognised, and its reader turns it into the same plain listing."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from datasets.layouts.csv_list import read_csv
from datasets.layouts.findings import describe_listing, join_same_names
from datasets.layouts.folders.account import Account, join_names
from datasets.layouts.folders.meaning import enter, need_pictures, read_tree, unwrap_folder
from datasets.layouts.folders.names import NOTES_BESIDE_CONTAINERS, plain_name, recognise_split
from datasets.layouts.labelled import READERS
from datasets.layouts.listing import Listing
from datasets.layouts.tars import read_tars
from datasets.suffixes import find_remedy, find_suffix, is_archive, is_image
from datasets.tars.places import find_tars, is_tar_pattern
from datasets.walk import Folder, read_folder
from runtime.errors import DataError
from runtime.side_files import read_json

# What labels are for: to be learned, to be searched by, or nothing.
Labels = Literal["learned", "searched", "ignored"]


def read_listing(root: str | Path, labels: Labels = "searched") -> Listing:
    """Recognise the layout of `root` and list its images.

    Labels that can be read in two ways are refused, or dropped where they are "ignored"; classes that differ by their
    spelling only are refused where they are "learned". Raises DataError for that, for a missing or empty folder, a
    listed file that is not there, or an unreadable list.
    """
    if not str(root):
        raise DataError("the data set's folder is empty, perhaps a variable that is not set; name the folder")
    return settle_labels(recognise_layout(Path(root).expanduser()), labels)


def settle_labels(listing: Listing, labels: Labels) -> Listing:
    """The listing as it may be used for `labels`, see `read_listing`; raises DataError."""
    if labels == "ignored":
        if not listing.doubts:
            return listing
        bare = listing.without_labels()
        return replace(bare, notes=(*bare.notes, "labels are unclear, so none are used"))
    if listing.doubts:
        raise DataError("\n".join(listing.doubts))
    listing = listing.without_loose()
    if labels == "learned" and listing.same_names():
        raise DataError(f"{listing.root}: classes that differ by spelling only ({join_same_names(listing)}) would be "
                        "learned as different ones; join them, or give them names of their own (found: "
                        f"{describe_listing(listing)})")
    return listing


def recognise_layout(root: Path) -> Listing:
    """The listing of a folder or file as its layout has it, with doubts and all."""
    need_root(root)
    tars = find_tars(root)
    if tars:
        return read_tars(root, tars, read_folders)
    if not root.is_dir():
        return read_file(root)
    reader = find_reader(root)
    if reader is not None:
        return reader(root)
    folder = read_folder(root, may_repeat=lambda name: recognise_split(name) is not None)
    left_out = [] if folder.holds_pictures() else list(folder.all_left_out())
    tars = [one.path for one in left_out if one.kind == ".tar"]
    if not tars:
        return read_folders(folder)
    listing = read_tars(root, tars, read_folders)
    return replace(listing, left_out=(*listing.left_out, *(one for one in left_out if one.kind != ".tar")))


def need_root(root: Path) -> None:
    """Raise DataError for a folder or list that is not there, or that may not be looked at."""
    if is_tar_pattern(root):
        return  # which of its archives are not there is said when they are looked for
    try:
        os.stat(root)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise DataError(f"{root}: no such folder or list; give the data set's folder or a .csv list of "
                        "images") from error
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error.strerror}); fix its permissions and those of the folders "
                        "it lies in") from error


def read_file(path: Path) -> Listing:
    """A .csv list; raises DataError for any other file."""
    if is_image(path.name):
        raise DataError(f"{path}: is a single picture; give the folder that holds the pictures, or a .csv list of them")
    if is_archive(path.name) or (path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))):
        raise DataError(f"{path}: is an archive; unpack it, and give the folder that comes out of it (an uncompressed "
                        ".tar is read as it is)")
    remedy = find_remedy(find_suffix(path.name))
    if remedy is not None or not path.is_file():
        raise DataError(f"{path}: is neither a folder nor a .csv list of images" + (f" ({remedy})" if remedy else ""))
    return read_csv(path)


def find_reader(root: Path) -> Callable[[Path], Listing] | None:
    """The reader of a crop folder or of a data set as it is distributed, None for plain folders."""
    if (root / "ddt.json").is_file() and (root / "boxes.csv").is_file():
        return lambda crops: recognise_layout(find_original_root(crops))
    return next((read for belongs, read in READERS if belongs(root)), None)


def read_folders(folder: Folder) -> Listing:
    """Plain folders, or the distributed data set inside, without the folders that only lie around them."""
    need_pictures(folder)
    account = Account()
    while True:
        known = [inner for inner in folder.folders if find_reader(inner.path) is not None]
        if known:
            return account.complete(read_known(folder, known, account), Folder(folder.path))
        inner = unwrap_folder(folder, account)
        if inner is None:
            return read_tree(folder, account)
        folder = inner


def read_known(folder: Folder, known: list[Folder], account: Account) -> Listing:
    """The only distributed data set in a folder; raises DataError when pictures lie beside it."""
    beside = [inner for inner in folder.filled() if inner not in known]
    notes = [inner for inner in beside if plain_name(inner.path.name) in NOTES_BESIDE_CONTAINERS]
    others = [inner for inner in beside if inner not in notes]
    if len(known) > 1 or others or folder.pictures:
        rest = f"beside {join_names(others)}" if others else "and loose pictures beside it"
        what = f"holds several data sets: {join_names(known)}" if len(known) > 1 else (
            f"holds the data set {join_names(known)} {rest}")
        raise DataError(f"{folder.path}: {what}; give one of these folders")
    enter(folder, known[0], notes, account)
    read = find_reader(known[0].path)
    assert read is not None  # that is what `known` means
    return read(known[0].path)


def find_original_root(crops: Path) -> Path:
    """The data set that a crop folder written by DDT was cut from: `root` in its ddt.json."""
    note = crops / "ddt.json"
    original = Path(read_json(note, {"root": str}, remedy="it is not a note of DDT: run DDT again")["root"])
    original = original if original.is_absolute() else crops / original
    if not os.path.exists(original):
        raise DataError(f"{note}: the crops' original data set {original} is gone; give its new folder instead")
    if os.path.samefile(original, crops):
        raise DataError(f"{note}: says that the crops are their own original; give the data set's folder instead")
    return original
