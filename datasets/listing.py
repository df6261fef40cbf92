"""What every layout of a data set is read into: a list of images with their keys, class names and splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.files import DataError

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


def check_files(entries: list[Entry], source: Path) -> list[Entry]:
    """The entries, when all their files exist; raises DataError."""
    absent = [entry.key for entry in entries if not entry.path.is_file()]
    if absent:
        raise DataError(f"{source}: {len(absent)} listed images are missing ({show(absent)}); unpack it again")
    return entries


def make_listing(
    root: Path, entries: Iterable[Entry], *, numeric: bool = False, classes: Sequence[str] | None = None
) -> Listing:
    """Sort by key and number the classes by name (by value when `numeric` and all are whole numbers).

    A data set with an order of its own gives `classes`. Raises DataError when there is no image.
    """
    entries = tuple(sorted(entries, key=lambda entry: entry.key))
    if not entries:
        raise DataError(f"{root}: no image found; it should hold train/<class>/ and test/<class>/, or images")
    if classes is not None:
        return Listing(root, entries, tuple(classes))
    names = {entry.class_name for entry in entries if entry.class_name is not None}
    by_value = numeric and all(name.isdecimal() for name in names)
    return Listing(root, entries, tuple(sorted(names, key=int if by_value else None)))


def show(things: Sequence[object], separator: str = ", ") -> str:
    """The first few of a list, and how many more there are."""
    more = [f"... and {len(things) - _SHOWN} more"] if len(things) > _SHOWN else []
    return separator.join([str(thing) for thing in things[:_SHOWN]] + more)
