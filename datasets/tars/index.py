"""The contents of many archives: read once, with progress, and remembered in the user's cache folder.

An archive is known by its place, its size and the time of its last change. Nothing is written beside the data.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from tqdm import tqdm

from datasets.tars.contents import TarContents, TarPicture, list_contents
from datasets.tars.member import Tar
from runtime.errors import DataError, StopTraining
from runtime.files import write_bytes

EDITION = 1  # of what is remembered; another one is made anew
READERS = 8  # archives whose headers are read at a time: most of the wait is for disks and networks
SHOWN = 10


def read_contents(tars: Sequence[Tar]) -> list[TarContents]:
    """The contents of each, in order. Raises DataError that names all archives that cannot be used."""
    with tqdm(total=sum(tar.size for tar in tars), unit="B", unit_scale=True, desc="listing tars", file=sys.stderr,
              delay=2) as bar, ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(partial(_attempt, bar=bar), tars))
    faults = [str(one) for one in found if isinstance(one, DataError)]
    if faults:
        more = f"\n(+{len(faults) - SHOWN} more archives)" if len(faults) > SHOWN else ""
        raise DataError("\n".join(faults[:SHOWN]) + more)
    return [one for one in found if isinstance(one, TarContents)]


def _attempt(tar: Tar, bar: tqdm) -> TarContents | DataError:
    """The contents of one archive, or what is wrong with it, for the others are looked at too."""
    known = recall(tar)
    if known is not None:
        bar.update(tar.size)
        return known
    done = 0

    def report(now: int) -> None:
        nonlocal done
        bar.update(now - done)
        done = now

    try:
        found = list_contents(tar, report)
    except DataError as error:
        return error
    remember(tar, found)
    return found


def find_note(tar: Tar) -> Path:
    """Where the contents of an archive are remembered: a file under ~/.cache/plumage (or XDG_CACHE_HOME)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(os.path.abspath(tar.path))).hexdigest()[:32]
    return cache / "plumage" / "tars" / name[:2] / f"{name}.json"


def recall(tar: Tar) -> TarContents | None:
    """What is remembered of an archive as it is; None for nothing, or nothing that can be used."""
    try:
        told = json.loads(find_note(tar).read_bytes())
        if told["of"] != _identify(tar):
            return None
        rows = zip(told["names"], told["offsets"], told["lengths"], told["labels"], strict=True)
        pictures = tuple(TarPicture(*row) for row in rows)
        others = tuple((str(name), str(kind)) for name, kind in told["others"])
        return TarContents(pictures, others, {str(kind): int(count) for kind, count in told["beside"].items()})
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        return None  # damaged, of another edition, or not there: the archive tells it again


def remember(tar: Tar, found: TarContents) -> None:
    """Keep the contents for next time; a full or forbidden disk costs that only."""
    told = {"of": _identify(tar), "names": [one.name for one in found.pictures],
            "offsets": [one.offset for one in found.pictures], "lengths": [one.length for one in found.pictures],
            "labels": [one.label for one in found.pictures], "others": found.others, "beside": found.beside}
    with suppress(OSError, RuntimeError, StopTraining):  # a user without a home is a RuntimeError
        path = find_note(tar)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(told).encode(), sync=False)


def _identify(tar: Tar) -> list[object]:
    return [EDITION, os.fsdecode(os.path.abspath(tar.path)), tar.size, tar.modified]
