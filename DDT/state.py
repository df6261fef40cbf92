"""What a crop folder remembers besides its boxes: the fitted direction (fit.npz) and the run's note (ddt.json)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import torch

from DDT.principal import Direction
from runtime.errors import DataError
from runtime.files import write_bytes, write_json
from runtime.side_files import parse_json, read_json

REPLACED = ("boxes.csv", "cuts.csv", "corloc.csv", "boxes.png")  # what --restart may replace
Setting = str | int | float | bool
Settings = Mapping[str, Setting]
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
    """A direction and the settings that it depends on."""

    direction: Direction
    settings: dict[str, Setting]


def save_fit(path: Path, fit: Fit) -> None:
    """Write a fit, whole or not at all."""
    numbers = asdict(fit.direction) | {"mean": fit.direction.mean.numpy(), "vector": fit.direction.vector.numpy()}
    content = io.BytesIO()
    np.savez(content, settings=json.dumps(fit.settings), **numbers)
    write_bytes(path, content.getvalue())


def load_fit(path: Path) -> Fit | None:
    """The saved fit, None when there is none; raises DataError for a file that is not one."""
    if not path.exists():
        return None
    remedy = "delete this file and run the same command again"  # --restart keeps the fit
    try:
        with np.load(path) as saved:
            mean, vector = (torch.from_numpy(saved[name]) for name in ("mean", "vector"))
            sign, share, correlation = (float(saved[name]) for name in ("sign", "share", "correlation"))
            direction = Direction(mean, vector, sign, share, correlation, int(saved["count"]))
            return Fit(direction, parse_json(str(saved["settings"]), dict, source=str(path), remedy=remedy))
    except (OSError, EOFError, KeyError, ValueError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a fit of DDT ({error}); {remedy}") from error


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
    changes = list_changes(note["settings"], settings)
    if changes:
        raise DataError(
            f"{folder} was begun with other settings:\n  - " + "\n  - ".join(changes) + "\n"
            "give the old ones to continue, another --out to keep both, or --restart to do it anew"
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
