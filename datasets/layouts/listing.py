"""What every layout of a data set is read into: a list of images with their keys, class names and splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.layouts.folders.names import SPLITS, find_same_names
from datasets.walk import LeftOut
from runtime.errors import DataError
from runtime.names.spelling import show_name

__all__ = ["SPLITS", "Entry", "Listing", "check_files", "make_listing", "show_first"]
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
    """All images of a data set, of every split; `classes` are in label order, over all splits.

    `notes` say how the folders were read where that is no matter of course, `left_out` what is not read, `doubts` why
    the folders may mean other classes than these, `twice` holds the images that are one file under two names, and
    `loose` the few that lie beside class folders, which are no part of the set where labels are used.
    """

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    doubts: tuple[str, ...] = ()
    twice: tuple[Path, ...] = ()
    loose: tuple[Path, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold images, in the order train, val, test."""
        present = {entry.split for entry in self.entries}
        return tuple(split for split in SPLITS if split in present)

    def present_classes(self, split: str) -> set[str]:
        """Names of the classes that have an image in a split."""
        return {entry.class_name for entry in self.entries if entry.split == split and entry.class_name is not None}

    def same_names(self) -> list[tuple[str, ...]]:
        """Classes that a person would read as one: they differ by case, Unicode form, spaces or leading zeros."""
        return find_same_names(self.classes)

    def without_loose(self) -> Listing:
        """The images without the few that lie beside class folders; they are counted as left out."""
        if not self.loose:
            return self
        gone = frozenset(self.loose)
        return replace(self, entries=tuple(entry for entry in self.entries if entry.path not in gone), loose=(),
                       left_out=(*self.left_out, *(LeftOut(path, "beside the class folders") for path in self.loose)))

    def without_labels(self) -> Listing:
        """The same images, with nothing said of their classes."""
        return replace(self, classes=(), doubts=(),
                       entries=tuple(replace(entry, class_name=None) for entry in self.entries))


def check_files(entries: list[Entry], source: Path) -> list[Entry]:
    """The entries, when all their files exist; raises DataError."""
    absent = [entry.key for entry in entries if not entry.path.is_file()]
    if absent:
        raise DataError(f"{source}: {len(absent)} listed images are missing ({show_first(absent)}); unpack it again")
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
    # The name itself decides between 007 and 7: a set's own order differs from process to process.
    return Listing(root, entries, tuple(sorted(names, key=(lambda name: (int(name), name)) if by_value else None)))


def show_first(things: Sequence[object], separator: str = ", ") -> str:
    """The first few of a list, and how many more there are; a list on one line keeps to it, whatever its names hold."""
    more = [f"... and {len(things) - _SHOWN} more"] if len(things) > _SHOWN else []
    shown = [str(thing) for thing in things[:_SHOWN]]
    return separator.join([*(shown if "\n" in separator else map(show_name, shown)), *more])


@dataclass(frozen=True)
class Sample:
    """One image: its file, its key (relative to the data set's root, '/'-separated) and its label, None for none."""

    path: Path
    key: str
    label: int | None

    @property
    def known_label(self) -> int:
        """The label of an image of a data set that was refused unless all of its images have one."""
        assert self.label is not None, f"{self.key} has no label"
        return self.label
