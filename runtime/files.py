"""Files that survive a kill or a full disk: written beside, flushed, renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from runtime.errors import StopTraining


def write_atomically(path: Path, write: Callable[[Path], None], keep: Path | None = None) -> None:
    """Write with `write(temporary)`, flush to disk, and rename to `path`; the old file moves to `keep` if given.

    Raises StopTraining when the disk refuses; what was there before stays whole.
    """
    for stale in path.parent.glob(f".{path.name}.*"):  # what a killed process was writing
        stale.unlink()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        flush(temporary)
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(temporary, path)
        flush(path.parent)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        remedy = "make room on that disk (or fix its rights) and run again, with --resume where there is a checkpoint"
        raise StopTraining(f"could not write {path}, is there room? ({error}). What was there before is untouched; "
                           f"{remedy}") from error


def flush(path: Path) -> None:
    """Ask the system to put a file or folder on the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
