"""A folder as it lies on disk: pictures and folders in a fixed order, what is no picture, and no way twice.

Links to folders outside are followed once. A link to a folder that is read by its own path, or that lies around the
one it is in, is left out: followed, it would give the same pictures again, under another class.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from datasets.suffixes import JUNK_FOLDERS, is_image, name_kind
from runtime.errors import DataError

MASK = re.compile(r"(.+?)[ _-](?:mask|masks|segmentation)(?:[ _-]?\d+)?", re.IGNORECASE | re.DOTALL)
LOOP = "by a link that leads back"
Place = tuple[int, int]  # device and inode: what a folder is, whatever path leads to it


@dataclass(frozen=True)
class LeftOut:
    """Something in a data set that is not read, and why in a word or two: "hidden", ".heic", "masks"."""

    path: Path
    kind: str


@dataclass(frozen=True)
class Folder:
    """A folder: its own pictures and visible folders, both sorted by name, and what else lies in it."""

    path: Path
    pictures: tuple[Path, ...] = ()
    folders: tuple[Folder, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    twice: tuple[Path, ...] = ()  # pictures that are, as a file, the same as another one met before

    def all_pictures(self) -> Iterator[Path]:
        """Every picture in it, those of its folders after its own."""
        yield from self.pictures
        for folder in self.folders:
            yield from folder.all_pictures()

    def all_left_out(self) -> Iterator[LeftOut]:
        """Everything in it that is not read."""
        yield from self.left_out
        for folder in self.folders:
            yield from folder.all_left_out()

    def all_twice(self) -> Iterator[Path]:
        """Every picture in it that came before under another path."""
        yield from self.twice
        for folder in self.folders:
            yield from folder.all_twice()

    def filled(self) -> list[Folder]:
        """Its folders that hold a picture, at any depth."""
        return [folder for folder in self.folders if folder.holds_pictures()]

    def holds_pictures(self) -> bool:
        """Whether there is any picture in it."""
        return bool(self.pictures) or any(folder.holds_pictures() for folder in self.folders)


def walk_images(folder: Path) -> Iterator[Path]:
    """Every picture below `folder` in sorted order; see `read_folder`."""
    yield from read_folder(folder).all_pictures()


def read_folder(path: Path, may_repeat: Callable[[str], bool] = lambda name: False) -> Folder:
    """All that lies in a folder. Links right in it whose name `may_repeat` are followed to folders read already, too.

    Raises DataError naming every folder that cannot be read.
    """
    walker = _Walker(path, may_repeat)
    folder = walker.read(path, ())
    if walker.faults:
        raise DataError("these folders cannot be read; fix their permissions, or move them out of the data set:\n  "
                        + "\n  ".join(walker.faults))
    return folder


@dataclass
class _Walker:
    """One walk: the folders that have been or will be read, the files met, and what could not be read."""

    root: Path
    may_repeat: Callable[[str], bool]
    files: dict[Place, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @cached_property
    def around(self) -> frozenset[Place]:
        """The root and the folders that it lies in: a link to one of them is a loop."""
        top = Path(os.path.realpath(self.root))
        return frozenset(_place(os.stat(path)) for path in (top, *top.parents))

    @cached_property
    def seen(self) -> set[Place]:
        """Folders that links need not lead to; at first all that are reached without a link. Read at the first link."""
        places = set(self.around)
        for path, folders, _ in os.walk(self.root):
            folders[:] = [name for name in folders if not is_skipped(name)]
            for name in folders:
                with suppress(OSError):  # `read` meets it again and says so
                    places.add(_place(os.lstat(os.path.join(path, name))))
        return places

    def read(self, path: Path, above: tuple[Place, ...], linked: bool = False) -> Folder:
        """A folder at the end of the folders `above`; `linked` behind a link, where nothing is known to be new."""
        try:
            here = (*above, _place(os.stat(path)))
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            self.faults.append(f"{path}: {error.strerror or error}")
            return Folder(path)
        pictures, folders, left_out, twice = [], [], [], []
        for entry in entries:
            inside, reason = Path(entry.path), None
            if _is(entry.is_dir):
                reason = self.refuse(entry, here, linked)
                if reason is None:
                    folders.append(self.read(inside, here, linked or self.leads_away(entry, here)))
            elif is_image(entry.name) and (_is(entry.is_file) or entry.is_symlink()):
                pictures.append(inside)  # a broken link too: whoever decodes it says what is missing
                twice += [inside] if self.is_known_file(entry, here[-1]) else []
            else:
                reason = name_kind(entry.name) if _is(entry.is_file) or entry.is_symlink() else "that are no files"
            left_out += [LeftOut(inside, reason)] if reason else []
        masks = find_masks(pictures)
        left_out += [LeftOut(picture, "masks by their names") for picture in masks]
        kept, twice = ([picture for picture in some if picture not in masks] for some in (pictures, twice))
        return Folder(path, tuple(kept), tuple(folders), tuple(left_out), tuple(twice))

    def refuse(self, entry: os.DirEntry[str], here: tuple[Place, ...], linked: bool) -> str | None:
        """Why a folder is not entered, None when it is."""
        if is_skipped(entry.name):
            return "hidden" if entry.name.startswith(".") else "of the system"
        try:
            place = _place(entry.stat())
        except OSError:
            return None  # `read` names it
        if place in here:
            return LOOP
        if not (linked or entry.is_symlink()):
            return None
        if place in self.around:
            return LOOP
        if self.is_alias(entry, here):
            return None
        if place in self.seen:
            return "by a link to a folder read already"
        self.seen.add(place)
        return None

    def leads_away(self, entry: os.DirEntry[str], here: tuple[Place, ...]) -> bool:
        """Whether a way out of the tree begins here."""
        return entry.is_symlink() and not self.is_alias(entry, here)

    def is_alias(self, entry: os.DirEntry[str], here: tuple[Place, ...]) -> bool:
        """Whether this link right in the root may lead where others lead: val/ that is a link to test/."""
        return len(here) == 1 and entry.is_symlink() and self.may_repeat(entry.name)

    def is_known_file(self, entry: os.DirEntry[str], folder: Place) -> bool:
        """Whether this very file was met under another path; a hard or symbolic link to it is the same file."""
        try:
            place = _place(entry.stat()) if entry.is_symlink() else (folder[0], entry.inode())
            first = self.files.setdefault(place, entry.path)
            # A layered file system may give two files one number in its listings, though not when asked for each.
            return first != entry.path and os.path.samefile(first, entry.path)
        except OSError:
            return False


def _place(status: os.stat_result) -> Place:
    return status.st_dev, status.st_ino


def _is(question: Callable[[], bool]) -> bool:
    """The answer of an entry about itself; False where it cannot tell, as for a link that leads to itself."""
    try:
        return question()
    except OSError:
        return False


def find_masks(pictures: Sequence[Path]) -> set[Path]:
    """The masks among a folder's pictures: `x_mask.png` beside `x.png`, where that is how half of them come."""
    named = {picture: found for picture in pictures if (found := MASK.fullmatch(picture.stem))}
    if not named:
        return set()
    stems = {picture.stem for picture in pictures if picture not in named}
    masks = {picture for picture, found in named.items() if found[1] in stems}
    return masks if 2 * len({named[mask][1] for mask in masks}) >= len(stems) else set()


def is_skipped(name: str) -> bool:
    """True for a folder that is hidden, or that a NAS or a system laid there."""
    return name.startswith(".") or name.lower() in JUNK_FOLDERS
