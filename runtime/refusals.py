"""What the machine refuses, in words that name the file and what was done with it: disks, permissions, memory."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

# What a file system says when it refuses; any other OSError is a bug and keeps its traceback.
ON_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
REFUSALS = ON_WRITING | {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ELOOP,
                         errno.ENAMETOOLONG, errno.ENOTEMPTY, errno.EEXIST, errno.ESTALE, errno.EMFILE, errno.ENFILE}
REMEDIES = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "lift the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose a writable folder",
    errno.EACCES: "fix its permissions, or choose another place",
    errno.EPERM: "fix its permissions, or choose another place",
    errno.EMFILE: "lift the limit on open files (ulimit -n), or lower --num-workers",
    errno.ENFILE: "close other programs",
    errno.EIO: "check that disk",
    errno.ENAMETOOLONG: "choose shorter names",
    errno.ELOOP: "fix the link that leads to itself",
}
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "unable to allocate",
                 "cannot allocate memory")


def is_refusal(error: OSError) -> bool:
    """Whether a file system said no, which the user can fix; anything else is a bug."""
    return error.errno in REFUSALS


def tell_os_error(error: OSError) -> str:
    """One sentence: what could not be done with which path, why, and the remedy."""
    path = _name(error.filename) or next(_find_paths(error), None)
    verb = "written" if error.errno in ON_WRITING else "used"
    what = f"{path} cannot be {verb}" if path else f"a file cannot be {verb}"
    target = f" (towards {_name(error.filename2)})" if error.filename2 else ""
    reason = error.strerror or str(error) or os.strerror(error.errno or 0)
    remedy = REMEDIES.get(error.errno or 0, "fix the path")
    return f"{what}{target}: {reason}; {remedy}, and run the same command again: finished files are kept"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine, or the GPU, had no memory left."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, (RuntimeError, OSError)) and any(words in text for words in OUT_OF_MEMORY))


def tell_memory(error: BaseException) -> str:
    """One sentence with the remedy."""
    first = str(error).strip().split("\n")[0][:160]
    return (f"memory does not suffice ({first or type(error).__name__}); lower --batch-size or --size, or the count of "
            "what is held at once, and run the same command again")


def _find_paths(error: OSError) -> Iterator[str]:
    """Paths and open files among the variables of the functions that failed, innermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        yield from _list_paths(frame)


def _list_paths(frame: FrameType) -> Iterator[str]:
    for value in frame.f_locals.values():
        if isinstance(value, Path) and value.parts and Path(sys.prefix) not in value.parents:
            yield str(value)
        elif hasattr(value, "write") and isinstance(getattr(value, "name", None), str) and "<" not in value.name:
            yield value.name


def _name(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
