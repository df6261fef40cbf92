"""The one way to a file: whole or not at all, whatever kills the process or fills the disk.

A file is written beside its place, flushed, and renamed over it. The draft is locked while it grows, so that a later
writer clears away what a killed process left and never what a living one is writing. Lines are appended in `lines.py`.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.errors import StopTraining
from runtime.names.safe import NAME_BYTES
from runtime.names.spelling import ON_ERROR, spell

REMEDY = ("make room on that disk (or fix the path or its permissions) and run again, with --resume where there is a "
          "checkpoint")
INDENTED = json.JSONEncoder(indent=1)
DRAFT = re.compile(r"\..*\.draft-\d+-[0-9a-f]{8}(\.[^.]*)?", re.DOTALL)
CLEARED: set[Path] = set()  # folders in which this process has looked for drafts of killed ones


def write_atomically(
    path: Path, write: Callable[[Path], object], keep: Path | None = None, *, sync: bool = True
) -> None:
    """Write with `write(draft)`, flush to disk, and rename to `path`; the old file becomes `keep` if given.

    The draft has the path's suffix. Links are followed, permissions of the old file stay. Without `sync` only a kill is
    survived, not a power cut. Raises StopTraining when the disk or the file's permissions refuse; what was there before
    stays whole.
    """
    target = Path(os.path.realpath(path)) if is_replaceable(path) else path
    try:
        if not is_replaceable(path):  # a terminal, a pipe: nothing to rename
            return pour(path, write)
        refuse_protected(target)
        with open_draft(target) as draft:
            write(draft)
            if sync:
                flush(draft)
            take_over_rights(target, draft)
            if keep is not None and target.exists():
                keep_beside(target, keep)
            os.replace(draft, target)
        if sync:
            flush(target.parent)
    except StopTraining:
        raise
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise StopTraining(f"could not write {path}, is there room? ({error}). What was there before is untouched; "
                           f"{REMEDY}") from error


def write_text(path: Path, text: str) -> None:
    """Text in UTF-8, whole or not at all; bytes of names that are no UTF-8 are spelled out."""
    write_bytes(path, text.encode("utf-8", ON_ERROR))


def write_bytes(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Bytes, whole or not at all."""
    write_atomically(path, lambda draft: draft.write_bytes(content), sync=sync)


def write_json(path: Path, content: object, encoder: json.JSONEncoder = INDENTED) -> None:
    """JSON with a line break at its end. Any name is read back as it was: \\udce9 is to JSON the byte of a name."""
    write_bytes(path, f"{encoder.encode(content)}\n".encode("utf-8", "backslashreplace"))


def write_cells(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Rows of cells, the head first, as a CSV that spreadsheets open; see `TableWriter`."""
    with open_table(path) as writer:
        writer.writerows(rows)


class TableWriter:
    """Rows of a CSV; texts are spelled (`runtime.names.spelling`): a row is a line, and every name can be read back."""

    def __init__(self, text: io.StringIO) -> None:
        self._writer = csv.writer(text)

    def writerow(self, row: Iterable[object]) -> None:
        """Add a row."""
        self._writer.writerow([spell(cell) if isinstance(cell, str) else cell for cell in row])

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Add rows."""
        for row in rows:
            self.writerow(row)


@contextmanager
def open_table(path: Path) -> Iterator[TableWriter]:
    """A writer whose rows become a file, whole, when all of them have been written."""
    text = io.StringIO(newline="")
    yield TableWriter(text)
    write_text(path, text.getvalue())


def flush(path: Path) -> None:
    """Ask the system to put a file or folder on the disk now; folders of some disks cannot be asked."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


@contextmanager
def open_draft(target: Path) -> Iterator[Path]:
    """A new file beside `target` under a lock; it is gone afterwards unless it was renamed."""
    clear_drafts(target.parent)
    draft, handle = make_draft(target)
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
        release_lock(handle)


def release_lock(handle: int) -> None:
    """Unlock and close: a worker forked in between has the descriptor too, and closing ours alone would not unlock."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def make_draft(target: Path) -> tuple[Path, int]:
    """A draft's place and a descriptor that holds its lock; made anew if another writer cleared it in between."""
    while True:
        draft = target.with_name(name_draft(target))
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)  # waits for one who has just begun to clear it
        if is_still_named(draft, handle):
            return draft, handle
        os.close(handle)


def name_draft(target: Path) -> str:
    """A hidden name that no other process takes, with the target's suffix and within what file systems allow."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) < 32 else ""
    start = os.fsdecode(os.fsencode(target.name)[: NAME_BYTES - 75])
    return f".{start}.draft-{os.getpid()}-{os.urandom(4).hex()}{suffix}"


def clear_drafts(folder: Path) -> None:
    """Remove drafts in a folder that no process holds: their writers were killed. A process does so once a folder."""
    if folder in CLEARED:
        return
    CLEARED.add(folder)
    with suppress(OSError):
        for name in filter(DRAFT.fullmatch, os.listdir(folder)):
            with suppress(OSError):  # held, or cleared by another at this moment
                clear_if_free(folder / name)


def clear_if_free(draft: Path) -> None:
    """Remove a draft; raises OSError when its writer lives."""
    handle = os.open(draft, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_still_named(draft, handle):
            draft.unlink()
    finally:
        os.close(handle)


def is_still_named(path: Path, handle: int) -> bool:
    """Whether a descriptor is of the file that has this name now."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def is_replaceable(path: Path) -> bool:
    """False for what exists and is neither a file nor a folder: /dev/stdout, a pipe."""
    return not path.exists() or path.is_file() or path.is_dir()


def pour(path: Path, write: Callable[[Path], object]) -> None:
    """Write a draft elsewhere and copy it into a terminal or a pipe."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, f"draft{path.suffix}")
        write(draft)
        with open(path, "wb") as file:
            file.write(draft.read_bytes())


def refuse_protected(target: Path) -> None:
    """Raise OSError for a folder and for a file that is not to be written: a rename would not ask."""
    if target.is_dir():
        raise IsADirectoryError("it is a folder")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError("it is write-protected")


def take_over_rights(target: Path, draft: Path) -> None:
    """Give a draft the mode, and where that is allowed the owner, of the file that it replaces."""
    if target.exists():
        old = target.stat()
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            with suppress(OSError):
                os.chown(draft, old.st_uid, old.st_gid)
        with suppress(OSError):
            os.chmod(draft, stat.S_IMODE(old.st_mode))


def keep_beside(target: Path, keep: Path) -> None:
    """Make `keep` the file that `target` is, so that at no moment both are missing."""
    spare = keep.with_name(name_draft(keep))
    try:
        os.link(target, spare)
    except OSError:  # a disk without hard links
        os.replace(target, keep)
        return
    os.replace(spare, keep)
    spare.unlink(missing_ok=True)  # it stays when both names were one file already


def hash_file(path: Path) -> str:
    """sha256 of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def need_disk(folder: Path, needed: int) -> list[str]:
    """A problem line when the disk under `folder`, which need not be there yet, has less than `needed` bytes free."""
    free = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free
    if free >= needed:
        return []
    return [f"{folder}: {free / 1e6:.0f} MB free, but the run's checkpoints need about {needed / 1e6:.0f} MB; "
            "make room or give another --results-dir"]
