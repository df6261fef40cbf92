"""A list of images with columns path[,label][,split], wherever the images lie."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from datasets.layouts.folders.names import SPLITS, recognise_split
from datasets.layouts.listing import Entry, Listing, make_listing, show_first
from datasets.layouts.tables import read_rows
from datasets.suffixes import find_remedy, find_suffix, is_image
from runtime.errors import DataError
from runtime.names.spelling import unspell, unspell_path


def read_csv(path: Path) -> Listing:
    """A list with columns path[,label][,split]; relative paths start at the list's own folder.

    Other columns are ignored, a blank label is none, a blank split is train; splits are spelled as folders may be.
    Raises DataError naming every bad line.
    """
    problems: list[str] = []
    first_line: dict[str, int] = {}
    entries = []
    for line, row in read_rows(path, ("path",)):
        file = find_listed_file(path.parent, row["path"])
        word = row.get("split", "")
        complaint = _judge_row(row["path"], word, file, first_line.setdefault(str(file), line), line)
        if complaint:
            problems.append(f"line {line}: {complaint}")
        label = unspell(row.get("label", "")) or None
        entries.append(Entry(file, row["path"], label, recognise_split(word or "train") or word))
    if problems:
        count = f"{len(problems)} bad line" + ("s; fix or remove them" if len(problems) > 1 else "; fix or remove it")
        raise DataError(f"{path}: {count}\n  " + show_first(problems, "\n  "))
    return _list_rows(path, entries)


def find_listed_file(folder: Path, name: str) -> Path:
    """The file that a list in `folder` names: as written, as our tables spell it, with Windows' separators, or in the
    other of Unicode's forms, as lists from a Mac have it."""
    written = Path(os.path.normpath(folder / name))
    if os.path.exists(written):
        return written
    spelled = (unspell(name), unspell_path(name))
    forms = (unicodedata.normalize(form, reading) for form in ("NFC", "NFD") for reading in spelled)
    readings = [Path(os.path.normpath(folder / reading)) for reading in (*spelled, *forms)]
    return next(filter(os.path.exists, readings), readings[1])


def _judge_row(name: str, split: str, file: Path, first: int, line: int) -> str | None:
    """What is wrong with a row of a list, if anything."""
    if not name:
        return "no path"
    if first != line:
        return f"{name!r} is on line {first} already"
    if split and recognise_split(split) is None:
        return f"split {split!r} is none of {', '.join(SPLITS)}"
    if os.path.isdir(file):
        return f"{file} is a folder; name each image"
    if not os.path.isfile(file):
        return f"no file {file if str(file).isprintable() else repr(str(file))}"
    remedy = None if is_image(file.name) else find_remedy(find_suffix(file.name))
    return f"{name!r} is no picture that can be read here ({remedy})" if remedy else None


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
