"""Lines added to a file that others add to as well: under a lock, checked, and taken back where the disk refuses."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.errors import StopTraining
from runtime.files import REMEDY, release_lock
from runtime.names.spelling import ON_ERROR


def append_line(path: Path, line: str, *, sync: bool = True) -> None:
    """Add a line, all of it or nothing, even while others do; a last line that a kill cut off is ended first.

    `sync` waits until the disk has it. Raises StopTraining when the disk refuses.
    """
    end: int | None = None
    try:
        with open_locked(path) as handle:
            end = os.fstat(handle).st_size
            cut = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
            try:
                write_all(handle, b"\n" * cut + line.encode("utf-8", ON_ERROR) + b"\n")
                if sync:
                    os.fsync(handle)
            except OSError:
                os.ftruncate(handle, end)
                raise
    except OSError as error:
        raise StopTraining(f"could not add a line to {path}, is there room? ({error}). The lines before it are "
                           f"untouched; {REMEDY}") from error


def write_all(handle: int, content: bytes) -> None:
    """Write every byte: the system may take a part and say so. Raises OSError when it takes no more."""
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view):]


@contextmanager
def open_locked(path: Path) -> Iterator[int]:
    """A descriptor to append with, which no other process writes through at the same time."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        with suppress(OSError):  # a disk without locks: single writes do not interleave there either
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        release_lock(handle)
