"""The layouts of data sets on disk: each reader turns one layout into the same plain listing."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.files import DataError, is_image, walk_images

SPLITS = ("train", "val", "test")
_SHOWN = 10


@dataclass(frozen=True)
class Entry:
    """One image of a data set: where it is, its key ('/'-separated, relative to the root), class name and split."""

    path: Path
    key: str
    class_name: str | None
    split: str


@dataclass(frozen=True)
class Listing:
    """All images of a data set, of every split; `classes` are in label order, over all splits."""

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold images, in the order train, val, test."""
        present = {entry.split for entry in self.entries}
        return tuple(split for split in SPLITS if split in present)


def read_listing(root: str | Path) -> Listing:
    """Recognise the layout of `root` and list its images.

    Raises DataError for a missing or empty folder, a listed file that is not there, or an unreadable list.
    """
    root = Path(root).expanduser()
    if not root.exists():
        raise DataError(f"{root}: no such folder or list; give the data set's folder or a .csv list of images")
    if root.is_file():
        return read_csv(root)
    if (root / "ddt.json").is_file() and (root / "boxes.csv").is_file():
        return read_listing(find_original_root(root))
    if is_cub(root):
        return read_cub(root)
    if variant_folder(root):
        return read_aircraft(root)
    if any((root / split).is_dir() for split in SPLITS):
        return _make_listing(root, [entry for split in SPLITS for entry in _read_folder(root / split, root, split)])
    return _make_listing(root, _read_folder(root, root, "train"))


def find_original_root(crops: Path) -> Path:
    """The data set that a crop folder written by DDT was cut from: `root` in its ddt.json."""
    note = crops / "ddt.json"
    try:
        original = Path(json.loads(note.read_text(encoding="utf-8"))["root"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{note}: not a note of DDT with a 'root' ({error}); run DDT again") from error
    original = original if original.is_absolute() else crops / original
    if not original.exists():
        raise DataError(f"{note}: the crops' original data set {original} is gone; give its new folder instead")
    return original


def is_cub(root: Path) -> bool:
    """True for an unpacked CUB-200-2011."""
    lists = ("images.txt", "train_test_split.txt")
    return all((root / name).is_file() for name in lists) and (root / "images").is_dir()


def read_cub(root: Path) -> Listing:
    """A raw CUB-200-2011 tree: the official split, keys images/<class>/<file>, classes named as their folders."""
    names = read_table(root / "images.txt")
    train = read_table(root / "train_test_split.txt")
    unsplit = sorted(names.keys() ^ train.keys())
    if unsplit:
        raise DataError(f"{root}: images.txt and train_test_split.txt differ on image {show(unsplit)}; unpack it again")
    entries = [
        Entry(root / "images" / name, f"images/{name}", name.split("/")[0], "train" if train[number] == "1" else "test")
        for number, name in names.items()
    ]
    return _make_listing(root, _check_files(entries, root / "images.txt"))


def variant_folder(root: Path) -> Path | None:
    """The folder of FGVC-Aircraft's variant lists (`root` or its data/), None for another layout."""
    for folder in (root, root / "data"):
        if (folder / "images_variant_trainval.txt").is_file() or (folder / "images_variant_test.txt").is_file():
            return folder
    return None


def read_aircraft(root: Path) -> Listing:
    """A raw FGVC-Aircraft-2013b tree by variant: trainval is train; slashes leave the class names."""
    folder = variant_folder(root)
    entries = []
    for split, name in (("train", "images_variant_trainval.txt"), ("test", "images_variant_test.txt")):
        if not (folder / name).is_file():
            continue
        for image, variant in read_table(folder / name).items():
            path = folder / "images" / f"{image}.jpg"
            entries.append(Entry(path, path.relative_to(root).as_posix(), variant.replace("/", ""), split))
    return _make_listing(root, _check_files(entries, folder))


def read_table(path: Path) -> dict[str, str]:
    """A list whose lines are `<first word> <rest>`, as CUB and FGVC-Aircraft use; raises DataError by line number."""
    table, problems = {}, []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        first, _, rest = line.strip().partition(" ")
        if first and rest:
            table[first] = rest.strip()
        elif first:
            problems.append(number)
    if problems:
        raise DataError(f"{path}: line {show(problems)} has one word instead of two; unpack the data set again")
    return table


def read_csv(path: Path) -> Listing:
    """A list with columns path[,label][,split]; relative paths start at the list's own folder.

    Other columns are ignored, a blank label is none, a blank split is train. Raises DataError naming every bad line.
    """
    rows = read_rows(path, ("path",))
    problems: list[str] = []
    first_line: dict[str, int] = {}
    entries = []
    for line, row in rows:
        name = row["path"].replace("\\", "/")
        split = row.get("split", "").lower() or "train"
        file = Path(os.path.normpath(path.parent / name))
        complaint = _judge_row(name, split, file, first_line.setdefault(str(file), line), line)
        if complaint:
            problems.append(f"line {line}: {complaint}")
        entries.append(Entry(file, name, row.get("label") or None, split))
    if problems:
        raise DataError(f"{path}: {len(problems)} bad lines; mend or remove them\n  " + show(problems, "\n  "))
    return _list_rows(path, entries)


def _judge_row(name: str, split: str, file: Path, first: int, line: int) -> str | None:
    """What is wrong with a row of a list, if anything."""
    if not name:
        return "no path"
    if first != line:
        return f"{name!r} is on line {first} already"
    if split not in SPLITS:
        return f"split {split!r} is none of {', '.join(SPLITS)}"
    return None if file.is_file() else f"no file {file}"


def _list_rows(path: Path, entries: list[Entry]) -> Listing:
    """Keys relative to the list's folder, or to the folder that all images share when some lie outside of it."""
    if not entries:
        raise DataError(f"{path}: lists no image; it needs a header 'path,label,split' and a line for every image")
    root = path.parent
    if any(root not in entry.path.parents for entry in entries):
        root = Path(os.path.commonpath([entry.path.parent.absolute() for entry in entries]))
    keyed = [
        Entry(entry.path, os.path.relpath(entry.path, root).replace(os.sep, "/"), entry.class_name, entry.split)
        for entry in entries
    ]
    return _make_listing(root, keyed, numeric=True)


def read_rows(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file (comma, semicolon or tab; BOM, quotes and blank lines are fine) with their line numbers.

    Raises DataError when it is not text or lacks a required column.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = next((mark for mark in ",;\t" if mark in header), ",")
            reader = csv.DictReader(file, delimiter=delimiter, restval="")
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [(reader.line_num, _strip(row)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); save it again as such") from error
    absent = [name for name in required if name not in reader.fieldnames]
    if absent:
        raise DataError(f"{path}: the first line must name the columns; there is no {', '.join(absent)}")
    return [(line, row) for line, row in rows if any(row.values())]


def _strip(row: dict[str | None, str | list[str]]) -> dict[str, str]:
    """A row without outer spaces; cells beyond the header are dropped."""
    return {name: cell.strip() for name, cell in row.items() if name is not None and isinstance(cell, str)}


def _read_folder(folder: Path, root: Path, split: str) -> list[Entry]:
    """Images of one split: class folders, or loose images without labels."""
    if not folder.is_dir():
        return []
    entries = []
    for path in walk_images(folder):
        inside = path.relative_to(folder).parts
        entries.append(Entry(path, path.relative_to(root).as_posix(), inside[0] if len(inside) > 1 else None, split))
    loose = sum(entry.class_name is None for entry in entries)
    if 0 < loose < len(entries):
        raise DataError(
            f"{folder}: holds {loose} loose images beside folders of images, so that labels are unclear; "
            "move the loose ones away, or list the images in a .csv"
        )
    return entries


def _check_files(entries: list[Entry], source: Path) -> list[Entry]:
    """The entries, when all their files exist."""
    absent = [entry.key for entry in entries if not entry.path.is_file()]
    if absent:
        raise DataError(f"{source}: {len(absent)} listed images are missing ({show(absent)}); unpack it again")
    return entries


def _make_listing(root: Path, entries: Iterable[Entry], numeric: bool = False) -> Listing:
    """Sort by key and number the classes by name (by value when `numeric` and all are whole numbers)."""
    entries = tuple(sorted(entries, key=lambda entry: entry.key))
    if not entries:
        raise DataError(f"{root}: no image found; it should hold train/<class>/ and test/<class>/, or images")
    names = Counter(entry.class_name for entry in entries if entry.class_name is not None)
    by_value = numeric and all(name.isdecimal() for name in names)
    return Listing(root, entries, tuple(sorted(names, key=int if by_value else None)))


def show(things: Sequence[object], separator: str = ", ") -> str:
    """The first few of a list, and how many more there are."""
    more = [f"... and {len(things) - _SHOWN} more"] if len(things) > _SHOWN else []
    return separator.join([str(thing) for thing in things[:_SHOWN]] + more)
