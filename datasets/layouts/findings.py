"""What was found in a data set and what was left out of it, in words: one line, once in a run."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from datasets.layouts.listing import Listing
from datasets.suffixes import find_remedy
from datasets.walk import LeftOut

FLAG = "--list-left-out"
_NAMED, _KINDS = 3, 8


@dataclass
class Voice:
    """What this run has said, and whether it was asked for every file that is left out."""

    said: set[str] = field(default_factory=set)
    in_full: bool = False


VOICE = Voice()


def begin_run() -> None:
    """Forget what an earlier command of this process has said and was asked for."""
    VOICE.said.clear()
    VOICE.in_full = False


def announce(listing: Listing) -> None:
    """Print what was found, once a run; with FLAG every file that was left out too."""
    line = f"{listing.root}: {describe_listing(listing)}"
    if line in VOICE.said:
        return
    VOICE.said.add(line)
    print(line, file=sys.stderr)
    if VOICE.in_full:
        print("\n".join(name_left_out(listing)) or "  nothing was left out", file=sys.stderr)


def describe_listing(listing: Listing) -> str:
    """One line such as `612 images in 17 classes, train/test; left out: 12 .heic, 3 hidden`."""
    labelled = sum(entry.class_name is not None for entry in listing.entries)
    count = len(listing.entries)
    found = f"{count_of(count, 'image')} " + (f"in {count_of(len(listing.classes), 'class', 'classes')}" if labelled
                                              else "without classes")
    bare = [split for split in listing.splits if not listing.present_classes(split)] if labelled else []
    if labelled < count - sum(entry.split in bare for entry in listing.entries) and labelled:
        found += f" ({count - labelled} without a class)"
    splits = "/".join(split + (" without classes" if split in bare else "") for split in listing.splits)
    return "; ".join([f"{found}, {splits}", *listing.notes, *warn_classes(listing),
                      *warn_twice(listing), *describe_left_out(listing.left_out)])


def warn_classes(listing: Listing) -> list[str]:
    """What is odd about the classes of the splits, though it does not prevent a search."""
    warnings = [f"classes that differ by spelling only: {join_same_names(listing)}"] if listing.same_names() else []
    if len(listing.classes) == 1:
        warnings.append(f"one class only ({listing.classes[0]})")
    trained = listing.present_classes("train")
    for split in ("val", "test"):
        alone = sorted(listing.present_classes(split) - trained)
        if trained and alone:
            warnings.append(f"only in {split}: {count_of(len(alone), 'class', 'classes')} ({name_some(alone)})")
    return warnings + list(listing.doubts)


def join_same_names(listing: Listing) -> str:
    """The groups of classes that only their spelling tells apart, such as `Crow/crow`."""
    return name_some(["/".join(map(ascii if look_alike(group) else repr, group)) for group in listing.same_names()])


def look_alike(names: Sequence[str]) -> bool:
    """Whether names are two Unicode forms of one, so that they differ in nothing that can be seen."""
    return len({unicodedata.normalize("NFC", name) for name in names}) < len(names)


def warn_twice(listing: Listing) -> list[str]:
    """A note about files that links give two names."""
    if not listing.twice:
        return []
    names = name_some([os.path.relpath(path, listing.root) for path in listing.twice])
    return [f"{count_of(len(listing.twice), 'image')} {'is' if len(listing.twice) == 1 else 'are'} there twice, as one "
            f"file under two names ({names})"]


def describe_left_out(left_out: Iterable[LeftOut]) -> list[str]:
    """How many of each kind, the most frequent first, and what to do about those that may be pictures."""
    counts = Counter(one.kind for one in left_out)
    if not counts:
        return []
    kinds = sorted(counts, key=lambda kind: (-counts[kind], kind))
    more = sum(counts[kind] for kind in kinds[_KINDS:])
    words = ["left out: " + ", ".join([f"{counts[kind]} {kind}" for kind in kinds[:_KINDS]]
                                      + ([f"{more} of other kinds"] if more else []))]
    return words + [f"{kind}: {find_remedy(kind)}" for kind in kinds if find_remedy(kind)]


def name_left_out(listing: Listing) -> list[str]:
    """A line for every file or folder that was left out."""
    return [f"  {one.kind}: {os.path.relpath(one.path, listing.root)}"
            for one in sorted(listing.left_out, key=lambda one: (one.kind, str(one.path)))]


def count_of(number: int, thing: str, things: str | None = None) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def name_some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:_NAMED]) + (f", ... ({len(names) - _NAMED} more)" if len(names) > _NAMED else "")
