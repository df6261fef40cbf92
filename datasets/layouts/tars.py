"""Tar archives (webdataset's shards, or folders that were packed) as the listing that unpacked folders would give."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from datasets.layouts.findings import count_of, name_some
from datasets.layouts.folders.names import part_split, recognise_split
from datasets.layouts.labelled import tell_apart
from datasets.layouts.listing import Entry, Listing, make_listing, show_first
from datasets.tars.contents import TarContents, TarPicture
from datasets.tars.index import read_contents
from datasets.tars.member import Tar, TarMember
from datasets.tars.places import look_at_tars
from datasets.walk import Folder, LeftOut, find_masks
from runtime.errors import DataError
from runtime.side_files import read_text

TABLES = ("classnames.txt", "classes.txt")  # a class a line, 0 first
Shelf = Sequence[tuple[Tar, TarContents]]
Found = Mapping[str, tuple[TarPicture, Tar]]  # pictures by their names in the unpacked tree


def read_tars(place: Path, paths: Sequence[Path], read_folders: Callable[[Folder], Listing]) -> Listing:
    """All pictures of the archives, of which `place` (a folder, a list, a pattern) is the name.

    Classes are those of .cls members where there are any, else what `read_folders` makes of the names, as of the
    unpacked tree. Splits are what names in the archives say, else the archives' names or folders.
    Raises DataError naming all that is broken or contradicts itself.
    """
    tars = look_at_tars(list(paths))
    shelf = list(zip(tars, read_contents(tars)))
    root = find_tar_root(place, tars)
    found = name_members(shelf, root, find_tar_splits(root, tars))
    if not found:
        kinds = sorted({kind for _, contents in shelf for _, kind in contents.others})
        only = f" (only {', '.join(kinds)})" if kinds else ""
        raise DataError(f"{place}: no picture in {count_of(len(tars), 'archive')}{only}")
    if any(picture.label is not None for picture, _ in found.values()):
        listing = list_labelled(root, found, tars)
    else:
        listing = restore_members(read_folders(plant_tree(root, found)), root, found)
    return complete_listing(listing, root, shelf)


def find_tar_root(place: Path, tars: Sequence[Tar]) -> Path:
    """The folder that was given, or else the one that all archives lie in."""
    if place.is_dir():
        return place
    parents = {tar.path.parent for tar in tars}
    return parents.pop() if len(parents) == 1 else Path(os.path.commonpath(map(os.path.abspath, parents)))


def find_tar_splits(root: Path, tars: Sequence[Tar]) -> dict[Tar, str | None]:
    """The split that each archive's name, or a folder below `root` that it is in, says; None where none of them does.

    Raises DataError where some say one and others do not, or one says two.
    """
    said = {tar: {*part_split(tar.path.stem)[1], *filter(None, map(recognise_split, find_parts(root, tar)[:-1]))}
            for tar in tars}
    double = [tar.path.name for tar, words in said.items() if len(words) > 1]
    if double:
        raise DataError(f"{root}: {show_first(double)}: names and folders say several splits; rename to one")
    splits = {tar: next(iter(words), None) for tar, words in said.items()}
    silent = [tar.path.name for tar, split in splits.items() if split is None]
    if silent and len(silent) < len(tars):
        speaking = [tar.path.name for tar, split in splits.items() if split]
        raise DataError(f"{root}: {count_of(len(speaking), 'archive')} of a split ({name_some(speaking)}) beside "
                        f"{count_of(len(silent), 'archive')} of none ({name_some(silent)}); name those that belong "
                        "together by a pattern or a list, or rename them")
    return splits


def find_parts(root: Path, tar: Tar) -> tuple[str, ...]:
    """The folders below `root` that an archive lies in, and its name without .tar."""
    return Path(os.path.relpath(tar.path.with_suffix(""), root)).parts


def name_members(shelf: Shelf, root: Path, splits: Mapping[Tar, str | None]) -> Found:
    """Every picture under the name that the unpacked tree would give it: split/name, or name.

    Where archives share names, as when each counts from 0, every file's name begins with that of its archive. Raises
    DataError where that does not part them either.
    """
    pairs = []
    for tar, contents in shelf:
        told = splits[tar] is None or all(find_top_split(picture.name) for picture in contents.pictures)
        pairs += [("" if told else f"{splits[tar]}/", picture, tar) for picture in contents.pictures]
    found = {f"{prefix}{picture.name}": (picture, tar) for prefix, picture, tar in pairs}
    if len(found) == len(pairs):
        return found
    apart = {tar: "-".join(find_parts(root, tar)) for tar, _ in shelf}
    found = {prefix + _rename(picture.name, apart[tar]): (picture, tar) for prefix, picture, tar in pairs}
    if len(found) < len(pairs):
        raise DataError(f"{root}: {len(pairs) - len(found)} pictures have the names of others, also behind the names "
                        "of their archives; rename the archives")
    return found


def find_top_split(name: str) -> str | None:
    """The split that the first folder of a name is called by."""
    top, slash, _ = name.partition("/")
    return _recognise_folder(top) if slash else None


@lru_cache(maxsize=1024)
def _recognise_folder(name: str) -> str | None:
    """Asked of every picture, and the answer of few folders."""
    return recognise_split(name)


def _rename(name: str, archive: str) -> str:
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{archive}-{file}"


def plant_tree(root: Path, names: Iterable[str]) -> Folder:
    """The folder that the unpacked archives would be, without masks as it would be; nothing of it is on the disk."""
    below: dict[str, list[str]] = {}
    own: list[Path] = []
    for name in names:
        first, slash, rest = name.partition("/")
        if slash:
            below.setdefault(first, []).append(rest)
        else:
            own.append(root / name)
    masks = find_masks(own)
    return Folder(root, tuple(path for path in sorted(own) if path not in masks),
                  tuple(plant_tree(root / name, below[name]) for name in sorted(below)),
                  tuple(LeftOut(path, "masks by their names") for path in sorted(masks)))


def restore_members(listing: Listing, root: Path, found: Found) -> Listing:
    """The listing with members of archives in place of the files that would come out of them."""
    members = {root / name: make_member(*pair) for name, pair in found.items()}
    return replace(listing, entries=tuple(replace(entry, path=members[entry.path]) for entry in listing.entries),
                   loose=tuple(members[path] for path in listing.loose))


def make_member(picture: TarPicture, tar: Tar) -> TarMember:
    """A picture as a path."""
    return TarMember(tar, picture.name, picture.offset, picture.length)


def list_labelled(root: Path, found: Found, tars: Sequence[Tar]) -> Listing:
    """Pictures by the classes of their .cls; a list of names beside the archives, where there is one, numbers them.

    Raises DataError for a class that the list does not have.
    """
    by_folder = all(map(find_top_split, found))
    labels = {picture.label for picture, _ in found.values() if picture.label is not None}
    table = find_class_table(root, tars)
    names = match_classes(table, labels) if table else {label: label for label in labels}
    entries = [Entry(make_member(picture, tar), key, names[picture.label] if picture.label is not None else None,
                     (by_folder and find_top_split(key)) or "train")
               for key, (picture, tar) in found.items()]
    return make_listing(root, entries, numeric=True, classes=list(read_class_table(table).values()) if table else None)


def find_class_table(root: Path, tars: Sequence[Tar]) -> Path | None:
    """A list of class names in the root, beside the archives or in the folder above them."""
    beside = dict.fromkeys(tar.path.absolute().parent for tar in tars)
    folders = dict.fromkeys([root, *beside, *(folder.parent for folder in beside)])
    return next((folder / name for folder in folders for name in TABLES if (folder / name).is_file()), None)


def read_class_table(path: Path) -> dict[str, str]:
    """Class names by their numbers, one a line from 0 on; equal ones have their number added. Raises DataError."""
    lines = read_text(path, remedy="save it as text, a class a line").rstrip().splitlines()
    names = {str(number): line.strip() for number, line in enumerate(lines)}
    bare = [number for number, name in names.items() if not name]
    if bare or not names:
        raise DataError(f"{path}: line {int(bare[0]) + 1 if bare else 1} is empty; it needs a class a line, 0 first")
    return dict(zip(names, tell_apart(list(names), names)))


def match_classes(path: Path, labels: Collection[str]) -> dict[str, str]:
    """The class of every label: by its number in the list, or by its name where labels are no numbers."""
    table = read_class_table(path)
    numbers = {label: str(int(label)) for label in labels if label.isdecimal()}
    known = ({label: table[number] for label, number in numbers.items() if number in table}
             if len(numbers) == len(labels) else {label: label for label in labels if label in table.values()})
    unknown = sorted(set(labels) - known.keys())
    if unknown:
        raise DataError(f"{path}: names {len(table)} classes, and the .cls of pictures say {show_first(unknown)} too; "
                        "complete the list (a class a line, 0 first), or move it away")
    return known


def complete_listing(listing: Listing, root: Path, shelf: Shelf) -> Listing:
    """The listing with what else is in the archives, and the pictures that are there twice by a link."""
    first: dict[tuple[Tar, int], Path] = {}
    twice = tuple(entry.path for entry in listing.entries if isinstance(entry.path, TarMember)
                  and first.setdefault((entry.path.tar, entry.path.offset), entry.path) is not entry.path)
    beside: Counter[str] = Counter()
    for _, contents in shelf:
        beside.update(contents.beside)
    unused = ", ".join(f"{count} {kind}" for kind, count in sorted(beside.items()))
    left_out = [LeftOut(tar.path / name, kind) for tar, contents in shelf for name, kind in contents.others]
    notes = [f"in {count_of(len(shelf), 'archive')}", *([f"{unused} of images are not used"] if unused else [])]
    return replace(listing, root=root, twice=(*listing.twice, *twice), notes=(*listing.notes, *notes),
                   left_out=(*listing.left_out, *left_out))
