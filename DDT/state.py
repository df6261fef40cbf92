"""What a crop folder remembers besides its boxes: the fitted directions (fit.npz) and the run's note (ddt.json)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import torch

from DDT.directions.grouped import Group, GroupedDirections
from DDT.directions.principal import Direction
from runtime.errors import DataError
from runtime.files import write_bytes, write_json
from runtime.side_files import parse_json, read_json

REPLACED = ("boxes.csv", "cuts.csv", "corloc.csv", "boxes.png")  # what --restart may replace
Setting = str | int | float | bool
Settings = Mapping[str, Setting]
# What the folders of releases with one direction for all images, and no limits to a mask, were made with.
EARLIER: dict[str, Setting] = {"directions": 1, "no_mask": "empty"}
NUMBERS = ("sign", "share", "correlation", "count")  # of a direction, in fit.npz
VECTORS = ("mean", "vector")
NOTE = {"root": str, "settings?": dict, "undecodable?": dict, "finished?": bool}
ANEW = "do the folder anew with --restart, or choose another --out"


class SavedNote(TypedDict, total=False):
    """What is read of ddt.json; `restarted` says that the folder was begun anew and has nothing yet."""

    root: str
    settings: dict[str, Setting]
    undecodable: dict[str, str]
    finished: bool
    restarted: bool


@dataclass(frozen=True)
class Fit:
    """Directions and the settings that they depend on."""

    directions: GroupedDirections
    settings: dict[str, Setting]


def save_fit(path: Path, fit: Fit) -> None:
    """Write a fit, whole or not at all: the direction of all images is the first, those of the groups follow."""
    found = fit.directions
    saved = [found.whole, *(group.direction for group in found.groups)]
    arrays: dict[str, Any] = {name: np.array([getattr(direction, name) for direction in saved]) for name in NUMBERS}
    arrays |= {name: np.stack([getattr(direction, name).numpy() for direction in saved]) for name in VECTORS}
    arrays |= {"images": [group.images for group in found.groups], "owners": found.owners, "centres": found.centres}
    content = io.BytesIO()
    np.savez(content, settings=json.dumps(fit.settings), **arrays)
    write_bytes(path, content.getvalue())


def load_fit(path: Path) -> Fit | None:
    """The saved fit, None when there is none; raises DataError for a file that is not one."""
    if not path.exists():
        return None
    remedy = "delete this file and run the same command again"  # --restart keeps the fit
    try:
        with np.load(path) as saved:
            settings = parse_json(str(saved["settings"]), dict, source=str(path), remedy=remedy)
            if saved["mean"].ndim == 1:  # of a release with one direction for all images
                only = read_direction({name: saved[name][None] for name in (*NUMBERS, *VECTORS)}, 0)
                return Fit(GroupedDirections.of_one(only, 0), {"directions": 1} | settings)
            return Fit(read_directions(saved), settings)
    except (OSError, EOFError, KeyError, ValueError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a fit of DDT ({error}); {remedy}") from error


def read_directions(saved: Mapping[str, np.ndarray]) -> GroupedDirections:
    """All directions of a file."""
    whole, *rest = (read_direction(saved, number) for number in range(len(saved["mean"])))
    groups = tuple(Group(direction, int(images)) for direction, images in zip(rest, saved["images"], strict=True))
    return GroupedDirections(whole, groups, torch.from_numpy(saved["centres"]), tuple(saved["owners"].tolist()))


def read_direction(saved: Mapping[str, np.ndarray], number: int) -> Direction:
    """One direction of several."""
    mean, vector = (torch.from_numpy(saved[name][number]) for name in VECTORS)
    sign, share, correlation = (float(saved[name][number]) for name in ("sign", "share", "correlation"))
    return Direction(mean, vector, sign, share, correlation, int(saved["count"][number]))


def list_changes(old: Settings, new: Settings) -> list[str]:
    """What differs, for people: "cut_rate was search, is 0.85"."""
    names = sorted(old.keys() | new.keys())
    return [f"{name} was {old.get(name)}, is {new.get(name)}" for name in names if old.get(name) != new.get(name)]


def read_note(folder: Path) -> SavedNote:
    """The folder's ddt.json, empty when there is none; raises DataError when it is not one."""
    path = folder / "ddt.json"
    if not path.exists():
        return {}
    found = {"settings": {}} | read_json(path, NOTE, remedy=f"it is not a note of DDT: {ANEW}")
    return cast(SavedNote, found)  # NOTE is its shape


def write_note(folder: Path, note: Mapping[str, object]) -> None:
    """Write ddt.json, by which other commands find the original images."""
    write_json(folder / "ddt.json", note)


def open_folder(folder: Path, settings: Settings, *, restart: bool) -> SavedNote:
    """The note of a folder that was made with these settings, empty for a new one; DataError lists what changed.

    `restart` forgets boxes and note. The fit stays: it is used again only where its own settings are unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if restart:
        begin_anew(folder)
        return {}
    note = read_note(folder)
    if not note:
        refuse_foreign_files(folder)
    if not note or note.get("restarted"):
        return {}
    earlier = {name: value for name, value in EARLIER.items() if name in settings}
    changes = list_changes(earlier | note["settings"], settings)
    if changes:
        gone = earlier.keys() - note["settings"].keys()
        give = "an earlier release began it: give" if gone else "give the old ones to continue,"
        raise DataError(
            f"{folder} was begun with other settings:\n  - " + "\n  - ".join(changes) + "\n"
            f"{give} another --out to keep both, or --restart to do it anew"
        )
    return note


def begin_anew(folder: Path) -> None:
    """Forget boxes and note; a note that says so stays, so that a kill at this moment does not make it a stranger's."""
    refuse_foreign_files(folder, besides=(*REPLACED, "fit.npz"))
    try:
        note = read_note(folder)
    except DataError:  # what cannot be read is begun anew all the same
        note = {}
    write_note(folder, {**note, "finished": False, "restarted": True})
    for name in REPLACED:
        (folder / name).unlink(missing_ok=True)


def refuse_foreign_files(folder: Path, besides: Sequence[str] = ()) -> None:
    """Raise DataError when a folder without a note holds files: they are not ours to overwrite."""
    if (folder / "ddt.json").exists():
        return
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.name not in besides)
    if found:
        remedy = ", or --restart to replace it" if set(found) <= set(REPLACED) else ""
        raise DataError(f"{folder} holds {', '.join(found[:5])} but no ddt.json, so how it was made is unknown; "
                        f"give another --out{remedy}")
