"""Labels and keys as names of files and folders: they stay in their folder, whatever a table calls a class."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable

from runtime.errors import DataError

NAME_BYTES = 255  # what common file systems allow
# Separators of any system, what some systems refuse, control characters, and what has no bytes at all.
UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]|\.(?=\.)|(?<=\.)\.')
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.DOTALL)


def safe_name(label: str, *, room: int = 0) -> str:
    """A label as the name of one file or folder on any system, always the same for the same label.

    Letters of any script stay, what separates folders becomes "_", and so do dots and spaces at the ends and several
    dots: no name is empty or hidden, none leads upwards. A name longer than 255 bytes less `room` (for a suffix) ends
    in a hash.
    """
    name = UNSAFE.sub("_", "".join(letter if is_encodable(letter) else "_" for letter in label))
    kept = name.strip(" .")
    start = name[: len(name) - len(name.lstrip(" ."))]
    end = name[len(name.rstrip(" .")) :] if kept else ""
    name = "_" * len(start) + kept + "_" * len(end) or "_"
    name = f"_{name}" if RESERVED.fullmatch(name) else name
    return shorten_bytes(name, label, NAME_BYTES - room)


def name_each(labels: Iterable[str], what: str = "labels") -> dict[str, str]:
    """The safe name of every label; raises DataError that lists the labels which would share one."""
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    clashes = []
    for label in dict.fromkeys(labels):
        names[label] = safe_name(label)
        other = owners.setdefault(names[label], label)
        if other != label:
            clashes.append(f"{other!r} and {label!r} would both be {names[label]!r}")
    if clashes:
        raise DataError(f"these {what} cannot be told apart as names of folders; rename one of each:\n  - "
                        + "\n  - ".join(clashes))
    return names


def is_encodable(letter: str) -> bool:
    """Whether a file name can hold the letter; half of a pair of surrogates has no bytes."""
    try:
        os.fsencode(letter)
    except UnicodeEncodeError:
        return False
    return True


def shorten_bytes(name: str, label: str, most: int) -> str:
    """A name of at most `most` bytes; a longer one is cut between letters and ends in a hash of the label."""
    if len(os.fsencode(name)) <= most:
        return name
    name = name[:most]  # no letter has less than one byte
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    while len(os.fsencode(name)) > most - len(digest) - 1:
        name = name[:-1]
    return f"{name.rstrip(' .')}-{digest}"
