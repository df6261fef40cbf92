"""A file inside an uncompressed tar as a path: opened, read and asked for its status like any other, at any place."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from runtime.errors import DataError

OPEN = 128  # archives that a process keeps open
PLACES = 2**63 - 25  # a large prime: numbers of members of one archive stay apart


@dataclass(frozen=True)
class Tar:
    """An archive as it was when its members were listed: bytes, and nanoseconds of its last change."""

    path: Path
    size: int
    modified: int

    @classmethod
    def look(cls, path: Path) -> Tar:
        """An archive as it is now; raises OSError where there is none."""
        status = os.stat(path)
        return cls(path, status.st_size, status.st_mtime_ns)

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from a place on. Raises OSError when the archive is another one by now, or ends before."""
        handle, parts = _open(self), []
        status = os.fstat(handle.number)
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified):
            raise OSError(errno.ESTALE, "changed since its members were listed; start again", str(self.path))
        while size > 0:
            part = os.pread(handle.number, size, offset)
            if not part:
                raise OSError(errno.EIO, "ends within a file; it was cut off", str(self.path))
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Handle:
    """An open archive, closed when nobody reads from it any more; reading moves no position, so all may share it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@lru_cache(maxsize=OPEN)
def _open(tar: Tar) -> _Handle:
    """The archive, kept open."""
    return _Handle(tar.path)


class TarMember(type(Path())):  # type: ignore[misc]  # the concrete class of this system, as Python 3.10 needs it
    """archive.tar/name: a path whose content is a span of bytes of the archive. Nothing but reading is possible.

    What is made of it (`parent`, `with_suffix`) is a plain path.
    """

    def __new__(cls, tar: Tar, member: str, offset: int, length: int) -> TarMember:
        """The path's text; `__init__` adds the rest."""
        return super().__new__(cls, tar.path, member)

    def __init__(self, tar: Tar, member: str, offset: int, length: int) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(tar.path, member)
        self.tar, self.member, self.offset, self.length = tar, member, offset, length

    def with_segments(self, *parts: str | os.PathLike[str]) -> Path:
        """Python from 3.12 on makes other paths of this one by it."""
        return Path(*parts)

    if sys.version_info < (3, 12):
        @classmethod
        def _from_parsed_parts(cls, *parts: Any) -> Path:
            """The same before 3.12."""
            return type(Path())._from_parsed_parts(*parts)  # type: ignore[attr-defined]  # private in those versions

    def __reduce__(self) -> tuple[Any, ...]:
        """For workers that are started anew."""
        return TarMember, (self.tar, self.member, self.offset, self.length)

    def read_bytes(self) -> bytes:
        """The content; raises OSError."""
        return self.tar.read(self.offset, self.length)

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> io.BytesIO:
        """The content as an open file; raises OSError for anything but reading bytes."""
        if mode != "rb":
            raise OSError(errno.EROFS, "lies in an archive, of which bytes are read and nothing else", str(self))
        return io.BytesIO(self.read_bytes())

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """The archive's dates with the member's size, and a number that only links to the same bytes share."""
        whole = os.stat(self.tar.path)
        number = (whole.st_ino * 2**40 + self.offset) % PLACES
        times = {name: getattr(whole, name) for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")}
        return os.stat_result((whole.st_mode, number, whole.st_dev, 1, whole.st_uid, whole.st_gid, self.length,
                               int(whole.st_atime), int(whole.st_mtime), int(whole.st_ctime)), times)

    def exists(self, **more: Any) -> bool:
        """Whether its archive is there."""
        return self.tar.path.exists()

    def is_file(self, **more: Any) -> bool:
        """Whether its archive is there."""
        return self.tar.path.is_file()

    def resolve(self, strict: bool = False) -> TarMember:
        """The same member by the whole path of its archive, links followed."""
        return self._moved(self.tar.path.resolve(strict))

    def absolute(self) -> TarMember:
        """The same member by the whole path of its archive."""
        return self._moved(self.tar.path.absolute())

    def _moved(self, path: Path) -> TarMember:
        return TarMember(replace(self.tar, path=path), self.member, self.offset, self.length)


def need_files(paths: Iterable[Path], what: str) -> None:
    """Raise DataError where pictures lie in archives; `what` cannot do without files, as "linking to them" cannot."""
    inside = [path for path in paths if isinstance(path, TarMember)]
    if inside:
        raise DataError(f"{len(inside)} pictures lie in archives such as {inside[0].tar.path}, and {what} takes files; "
                        "unpack them (tar -xf) and give the folder")
