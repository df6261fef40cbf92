"""Folders that a command fills and may empty again: only those that it made itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.args import ConfigError


def claim_folder(folder: Path, marker: str) -> None:
    """Make `folder` with the file `marker` in it, or empty the one that holds it; raises ConfigError for any other."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; choose another --out")
    if folder.exists() and any(folder.iterdir()) and not (folder / marker).exists():
        raise ConfigError(f"{folder} is not empty and was not made by this command; choose another --out")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / marker).touch()
