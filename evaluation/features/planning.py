"""What is to be done for a folder of embeddings: which rows are known of what the pictures are made of, which are new.

What is new lies in `pieces/` until it is whole, meta.json last, which says that all are to be moved over the old files.
A run that was killed meanwhile is finished by the next one.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from torch import Tensor

from datasets.images import ImageSet
from evaluation.features.cache import remove_cache
from evaluation.features.contents import ContentMemo, hash_contents, hash_images
from evaluation.features.forms import list_shard_files
from evaluation.features.store import (
    CENTRE,
    CONTENTS,
    DATES,
    FORM,
    FORMAT,
    HASHES,
    LISTED,
    PIECES,
    Embeddings,
    describe_embeddings,
    find_differences,
    list_hashes,
    read_embeddings,
    read_embeddings_meta,
    refuse_foreign_embeddings,
)
from evaluation.features.subject import Subject
from runtime.errors import ConfigError
from runtime.files import write_json

PLAN = "plan.json"  # in pieces/: what the shards there are of

@dataclass(frozen=True)
class Change:
    """What became of a folder's rows: pictures that are new, that kept their names, that have others, that are gone."""

    new: int
    kept: int = 0
    moved: int = 0
    removed: int = 0

    def describe(self) -> str:
        """In words."""
        return f"{self.new} new, {self.kept} kept, {self.moved} moved, {self.removed} removed"


@dataclass(frozen=True)
class Written:
    """What stands in meta.json, and what changed."""

    meta: dict[str, object]
    change: Change


@dataclass(frozen=True)
class EmbeddingTask:
    """What is to be written: the hash and the stored row (-1 = none) of every image, and the centre of stored rows."""

    facts: dict[str, object]
    contents: list[str]
    sources: list[int]
    change: Change
    centre: list[float] | None = None
    speed: object = None
    done: bool = False


def match_stored_rows(contents: Sequence[str], keys: Sequence[str], stored: Embeddings) -> tuple[list[int], Change]:
    """The stored row of every image, by what it is made of, -1 for none; and what that makes of them.

    An image is kept under its name, else it takes the row of a picture that has gone from its name: it was moved. A
    further copy takes a row too, but is new.
    """
    known: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (content, key) in enumerate(zip(stored.contents, stored.keys)):
        if content:
            known[content][key] = row
    free = {content: dict(rows) for content, rows in known.items()}
    sources = [free.get(content, {}).pop(key, -1) for content, key in zip(contents, keys)]
    kept, moved = sum(row >= 0 for row in sources), 0
    for place, content in enumerate(contents):
        if sources[place] < 0 and content in known:
            left = free[content]
            moved += bool(left)
            sources[place] = left.pop(next(iter(left))) if left else next(iter(known[content].values()))
    return sources, Change(len(contents) - kept - moved, kept, moved, len(stored.keys) - kept - moved)


def plan_embeddings(
    subject: Subject, images: ImageSet, folder: Path, memo: ContentMemo, shape: Mapping[str, object] | None = None
) -> EmbeddingTask:
    """What is to be done, after what a killed run left was finished. `shape` says how the folder lies in shards, if so.

    Raises ConfigError for a folder of another network, protocol or shape.
    """
    install_pieces(folder)
    facts: dict[str, object] = {"format": FORMAT, **describe_embeddings(subject, images), **(shape or {})}
    stored: Embeddings | None = None
    if not (folder / "meta.json").is_file():
        refuse_foreign_embeddings(folder)
    else:
        found = read_embeddings_meta(folder)
        other = [] if shape or FORM not in found else [FORM]
        if not other and not find_differences(found, facts, lambda: hash_contents(images, subject.crops, memo)):
            clear_pieces(folder)  # with the memo of the hashes that were compared
            if found.get(DATES) != facts[DATES]:
                write_json(folder / "meta.json", {**found, DATES: facts[DATES]})
            return EmbeddingTask(facts, [], [], Change(0, kept=len(images)), done=True)
        other += find_differences(found, {name: value for name, value in facts.items() if name not in LISTED})
        if other:
            clear_pieces(folder)
            raise ConfigError(f"{folder} holds embeddings made otherwise ({', '.join(other)} differ); "
                              "give another --out, or delete the folder")
        stored = _read_known(folder, subject.centred)
    facts[CONTENTS], contents = hash_contents(images, subject.crops, memo), hash_images(images, subject.crops, memo)
    if stored is None:
        return EmbeddingTask(facts, contents, [-1] * len(images), Change(len(images)))
    sources, change = match_stored_rows(contents, [sample.key for sample in images.samples], stored)
    if subject.centred and min(sources) < 0:
        print(f"note: new rows are centred by the mean that {folder} was begun with, so that all can be compared; to "
              "centre by the training split as it is now, give another --out", file=sys.stderr)
    centre = cast("list[float] | None", stored.meta.get(CENTRE))
    return EmbeddingTask(facts, contents, sources, change, centre, stored.meta.get("images_per_second"))


def _read_known(folder: Path, centred: bool) -> Embeddings | None:
    """The rows that lie in a folder, None with a note where nothing tells what they are of or how they were centred."""
    stored = read_embeddings(folder)
    if not any(stored.contents) or (centred and CENTRE not in stored.meta):
        print(f"note: {folder} was written by an earlier release, which did not keep what its rows are made of; all "
              "are made anew", file=sys.stderr)
        return None
    return stored


def choose_images(images: ImageSet, places: Sequence[int]) -> ImageSet:
    """Some images of a set."""
    return replace(images, samples=tuple(images.samples[place] for place in places))


def forget_changed(
    contents: list[str], images: ImageSet, places: Sequence[int], subject: Subject, memo: ContentMemo
) -> list[str]:
    """The hashes, but "" of pictures that changed while their rows were computed: those are made anew next time."""
    now = dict(zip(places, hash_images(choose_images(images, places), subject.crops, memo)))
    return [content if now.get(place, content) == content else "" for place, content in enumerate(contents)]


def describe_centre(centre: Tensor | None) -> dict[str, object]:
    """What meta.json tells of the mean that was subtracted, if one was."""
    return {} if centre is None else {CENTRE: centre.double().cpu().tolist()}


def install_pieces(folder: Path) -> None:
    """Move what is whole to its place, meta.json last, and remove shards that are no more; nothing where nothing is."""
    pieces = folder / PIECES
    if (pieces / "meta.json").is_file():
        names = list_hashes(read_embeddings_meta(pieces))
        for name in names:
            if (pieces / name).is_file():
                os.replace(pieces / name, folder / name)
        for path in list_shard_files(folder):
            if path.name not in names:
                path.unlink()
        os.replace(pieces / "meta.json", folder / "meta.json")
        (folder / "embeddings.npy.draft").unlink(missing_ok=True)  # of an earlier release that was killed
        clear_pieces(folder)


def clear_pieces(folder: Path) -> None:
    """Remove what a run left in pieces/ that is needed no more, or was killed and is not to be continued."""
    pieces = folder / PIECES
    for path in [*list_shard_files(pieces), *(pieces / name for name in (*HASHES.values(), PLAN))]:
        path.unlink(missing_ok=True)
    remove_cache(pieces)
