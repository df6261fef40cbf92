"""The layouts of data sets on disk: each reader turns one layout into the same plain listing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from datasets.files import DataError, walk_images
from datasets.listing import SPLITS, Entry, Listing, check_files, make_listing, show
from datasets.supervised_layouts import READERS, read_split
from datasets.tables import read_rows, read_table


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
    for belongs, read in READERS:
        if belongs(root):
            return read(root)
    if is_cub(root):
        return read_cub(root)
    if variant_folder(root):
        return read_aircraft(root)
    if any((root / split).is_dir() for split in SPLITS):
        return make_listing(root, [entry for split in SPLITS for entry in _read_folder(root / split, root, split)])
    return make_listing(root, _read_folder(root, root, "train"))


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
    entries = [
        Entry(root / "images" / name, f"images/{name}", name.split("/")[0], split)
        for name, split in read_split(root).items()
    ]
    return make_listing(root, check_files(entries, root / "images.txt"))


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
    return make_listing(root, check_files(entries, folder))


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
    return make_listing(root, keyed, numeric=True)


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
