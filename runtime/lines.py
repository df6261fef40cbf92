"""Lines and records added to a file that others add to as well: locked, checked, taken back where the disk refuses."""

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
    with append_or_stop(path, "a line to ", sync=sync) as (handle, end):
        cut = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
        write_all(handle, b"\n" * cut + line.encode("utf-8", ON_ERROR) + b"\n")


def append_bytes(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Add bytes, such as records of one length, all of them or nothing. Raises StopTraining when the disk refuses."""
    with append_or_stop(path, "to ", sync=sync) as (handle, _):
        write_all(handle, content)


@contextmanager
def append_or_stop(path: Path, what: str, *, sync: bool) -> Iterator[tuple[int, int]]:
    """A descriptor to append with and the file's size; what was written is taken back where the disk refuses."""
    try:
        with open_locked(path) as handle:
            end = os.fstat(handle).st_size
            try:
                yield handle, end
                if sync:
                    os.fsync(handle)
            except OSError:
                os.ftruncate(handle, end)
                raise
    except OSError as error:
        raise StopTraining(f"could not add {what}{path}, is there room? ({error}). What stood there before is "
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
