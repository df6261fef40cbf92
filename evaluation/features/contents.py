"""What pictures are made of: the sha256 of the bytes that are read, and of the box that is cut out of them.

A file that was moved, renamed, copied or touched has the content that it had; one whose pixels changed has another,
whatever its name and date. Hashes of files are remembered by path, size and times, so that files are read once.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from datasets.crops import Crops
from datasets.images import SHOWN, ImageSet
from datasets.layouts.listing import Sample
from runtime.errors import DataError, StopTraining
from runtime.files import hash_file, write_text
from runtime.lines import append_line

MEMO = "contents.jsonl"
SETTLED = 2_000_000_000  # nanoseconds after which no disk gives another change the same time
CHUNK = 1024  # files hashed between two savings
SLACK = 10_000  # lines of the memo that may be out of date before it is written anew


@dataclass(frozen=True)
class Status:
    """What changes with a file: its size in bytes, and when its content and anything of it last changed, in ns."""

    size: int
    modified: int
    changed: int

    @classmethod
    def read(cls, path: Path) -> Status:
        """Of a file; raises OSError where there is none."""
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def is_settled(self) -> bool:
        """Whether a further change would show: within one tick of a disk's clock it would not."""
        return max(self.modified, self.changed) < time.time_ns() - SETTLED


class ContentMemo:
    """sha256 of files, remembered in `folder`/contents.jsonl (None: not at all); several processes may share it."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / MEMO
        self.known: dict[str, tuple[Status, str]] = dict(self._read())

    def hash_files(self, paths: Sequence[Path]) -> list[str]:
        """sha256 of every file, in order; only those that changed since they were last seen are read.

        Raises DataError that names the files which cannot be read.
        """
        places = [os.path.abspath(path) for path in paths]
        files = dict(zip(places, paths))
        unseen = [place for place, path in files.items() if not self._is_known(place, path)]
        found: dict[str, str] = {}
        faults: list[str] = []
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool, tqdm(
                total=len(unseen), unit="img", desc="reading what changed", file=sys.stderr, delay=2) as bar:
            for start in range(0, len(unseen), CHUNK):
                part = unseen[start : start + CHUNK]
                seen = dict(zip(part, pool.map(_hash_steadily, [files[place] for place in part])))
                faults += [str(one) for one in seen.values() if isinstance(one, OSError)]
                whole = {place: one for place, one in seen.items() if not isinstance(one, OSError)}
                found |= {place: digest for place, (_, digest) in whole.items()}
                self._keep(whole)
                bar.update(len(part))
        if faults:
            raise DataError("pictures cannot be read: " + "; ".join(faults[:SHOWN]) + ", ..." * (len(faults) > SHOWN)
                            + "; put them back, or start again without them")
        return [found[place] if place in found else self.known[place][1] for place in places]

    def _is_known(self, place: str, path: Path) -> bool:
        try:
            return place in self.known and self.known[place][0] == Status.read(path)
        except OSError:  # it is named when it is read
            return False

    def _keep(self, seen: dict[str, tuple[Status, str]]) -> None:
        """Remember files whose next change will show; a full disk costs that only."""
        settled = {place: one for place, one in seen.items() if one[0].is_settled()}
        self.known.update(settled)
        if self.path is None or not settled:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.path, "\n".join(_write_lines(settled)), sync=False)
        except (OSError, StopTraining) as error:
            print(f"note: the hashes of pictures are not kept for next time: {error}", file=sys.stderr)
            self.path = None

    def _read(self) -> Iterable[tuple[str, tuple[Status, str]]]:
        """What the file tells, later lines before earlier ones; lines that a kill cut off are left out."""
        if self.path is None:
            return {}.items()
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return {}.items()
        found = dict(filter(None, map(_read_line, lines)))
        if len(lines) > 2 * len(found) + SLACK:
            with suppress(StopTraining):  # it stays as long as it is
                write_text(self.path, "".join(f"{line}\n" for line in _write_lines(found)))
        return found.items()


def _write_lines(seen: dict[str, tuple[Status, str]]) -> Iterator[str]:
    return (json.dumps([place, status.size, status.modified, status.changed, digest])
            for place, (status, digest) in seen.items())


def _read_line(line: str) -> tuple[str, tuple[Status, str]] | None:
    try:
        place, size, modified, changed, digest = json.loads(line)
    except (ValueError, TypeError):
        return None
    return (place, (Status(size, modified, changed), digest)) if isinstance(place, str) else None


def _hash_steadily(path: Path) -> tuple[Status, str] | OSError:
    """A file's status and the sha256 of the content that it had under that status."""
    try:
        for _ in range(3):
            before = Status.read(path)
            digest = hash_file(path)
            if before == Status.read(path):
                return before, digest
        return OSError(f"{path} changes while it is read")
    except OSError as error:
        return error


def hash_images(images: ImageSet, crops: Crops | None, memo: Path | ContentMemo | None = None) -> list[str]:
    """What every image is made of, in hexadecimal: sha256 of its file, else of that and the box in it.

    `crops` None means whole images. `memo` is a cache's folder, in which the hashes of files are remembered. Raises
    DataError that names the files which cannot be read.
    """
    boxes = [_find_box(sample, crops) for sample in images.samples]
    return [hashlib.sha256(f"{digest} {box}".encode()).hexdigest() if box else digest
            for digest, box in zip(_hash_files(images, crops, memo), boxes)]


def hash_contents(images: ImageSet, crops: Crops | None, memo: Path | ContentMemo | None = None) -> str:
    """One hash of the names and the contents of all: another after any change, the same of a copy."""
    digest = hashlib.sha256(images.fingerprint().encode())
    for sample, content in zip(images.samples, _hash_files(images, crops, memo)):
        digest.update(f"{content}\n{_find_box(sample, crops)}".encode())
    return digest.hexdigest()


def identify_files(images: ImageSet, crops: Crops | None) -> str:
    """A hash of the names, sizes and times of the files (and the boxes); nothing of them is read.

    The time of the last change of any kind is among them: it moves when a file is replaced under its old date.
    """
    digest = hashlib.sha256(images.fingerprint().encode())
    for sample in images.samples:
        status = Status.read(_find_file(sample, crops))
        digest.update(f"{status.size}/{status.modified}/{status.changed}\n".encode())
        digest.update(_find_box(sample, crops).encode())
    return digest.hexdigest()


def _hash_files(images: ImageSet, crops: Crops | None, memo: Path | ContentMemo | None) -> list[str]:
    known = memo if isinstance(memo, ContentMemo) else ContentMemo(memo)
    return known.hash_files([_find_file(sample, crops) for sample in images.samples])


def _find_file(sample: Sample, crops: Crops | None) -> Path:
    """The file that is read for an image."""
    return crops.root / sample.key if crops is not None and crops.boxes is None else sample.path


def _find_box(sample: Sample, crops: Crops | None) -> str:
    """The box that is cut out, in words; "" for none."""
    return repr(crops.boxes[sample.key]) if crops is not None and crops.boxes is not None else ""
