"""What is noted while plain folders are read, and which folders only hold masks and the like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets.layouts.folders.names import NOTES, NOTES_BESIDE_CONTAINERS, is_container, plain_name
from datasets.layouts.listing import Listing, show_first
from datasets.walk import Folder, LeftOut

RUN_FILES = ("args.json", "results.jsonl")  # what every run leaves beside its figures


@dataclass
class Account:
    """What is noted while folders are read: how, what is not read, and why the labels are unclear."""

    entered: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    loose: list[Path] = field(default_factory=list)

    def drop(self, folders: Iterable[Folder], kind: str) -> None:
        """Count the pictures of folders that are not read; their other files count as what they are."""
        for folder in folders:
            self.left_out += [LeftOut(path, f"{kind} {folder.path.name}/") for path in folder.all_pictures()]
            self.left_out += folder.all_left_out()

    def complete(self, listing: Listing, folder: Folder) -> Listing:
        """The listing with all of this."""
        entered = [f"entered {'/'.join(self.entered)}/, the only folder with images"] if self.entered else []
        return replace(listing, notes=(*entered, *dict.fromkeys(self.notes), *listing.notes), loose=tuple(self.loose),
                       left_out=(*self.left_out, *listing.left_out),
                       doubts=tuple(self.doubts), twice=tuple(folder.all_twice()))


def part_notes(folder: Folder) -> tuple[list[Folder], list[Folder]]:
    """Folders with pictures, apart from those that hold masks and the like of the same pictures, or a run's figures."""
    filled = folder.filled()
    by_container = any(is_container(inner.path.name) for inner in filled)
    names = NOTES_BESIDE_CONTAINERS if by_container else NOTES if folder.pictures else frozenset()
    runs = [inner for inner in filled if is_run(inner)]
    notes = [inner for inner in filled if plain_name(inner.path.name) in names]
    notes += [inner for inner in runs if inner not in notes and len(runs) < len(filled)]
    return [inner for inner in filled if inner not in notes], notes


def is_run(folder: Folder) -> bool:
    """Whether a command has left its results there."""
    return any(one.path.name in RUN_FILES for one in folder.left_out)


def prune_notes(folder: Folder, account: Account) -> Folder:
    """A class folder without masks/ beside its images/ or its own images; they are counted as left out."""
    _, notes = part_notes(folder)
    account.drop(notes, "in")
    return replace(folder, folders=tuple(inner for inner in folder.folders if inner not in notes))


def join_names(folders: Sequence[Folder]) -> str:
    """`a/, b/`."""
    return show_first([f"{folder.path.name}/" for folder in folders])
