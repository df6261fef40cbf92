"""Folders that a command fills and may empty again: only those that bear its own mark."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import ConfigError
from runtime.files import write_text
from runtime.folders.locks import NAME as LOCK

MARK = ".made-by-plumage"


def claim_folder(folder: Path, command: str, makes: Sequence[str]) -> None:
    """Make `folder` with the mark of `command` in it, or empty the one that bears it.

    `makes` are patterns of all that the command lays directly into it. Raises ConfigError for a folder that is not
    empty and not ours, or that holds anything else by now: nothing has been removed then.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; choose another --out")
    found = sorted(path for path in folder.iterdir() if path.name != LOCK) if folder.is_dir() else []
    if found and not is_ours(folder, command):
        raise ConfigError(f"{folder} is not empty and was not made by this command; choose another --out")
    ours = (MARK, *makes, ".*.draft-*")
    strangers = [path.name for path in found if not any(fnmatch.fnmatchcase(path.name, name) for name in ours)]
    if strangers:
        raise ConfigError(f"{folder} was made by this command, but {', '.join(strangers[:5])} in it was not, and it "
                          "would have to be emptied; move that away, or choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / MARK, sign(command))
    for path in found:
        if path.name != MARK:
            remove(path)


def is_ours(folder: Path, command: str) -> bool:
    """Whether the folder bears the command's mark, word for word."""
    try:
        return (folder / MARK).read_text(encoding="utf-8") == sign(command)
    except (OSError, ValueError):
        return False


def sign(command: str) -> str:
    """What the mark says."""
    return (f"Plumage's {command} made this folder and empties it when it is run again.\n"
            "Without this file the folder is yours, and no command touches it.\n")


def remove(path: Path) -> None:
    """Remove a file, a link (never what it leads to) or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
