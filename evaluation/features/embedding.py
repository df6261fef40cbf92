"""A folder of embeddings written, or brought up to date: rows of pictures that are known are taken over.

What is new lies in `pieces/` until it is whole: embeddings.npy, ids.csv and then meta.json, which says that the three
are to be moved over the old ones. A run that was killed meanwhile is finished by the next one.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from datasets.images import ImageSet
from evaluation.features.cache import remove_cache
from evaluation.features.contents import ContentMemo, hash_contents, hash_images
from evaluation.features.store import (
    CENTRE,
    CHUNK,
    CONTENTS,
    DATES,
    FORMAT,
    HASHES,
    LISTED,
    PIECES,
    Embeddings,
    describe_embeddings,
    find_differences,
    read_embeddings,
    read_embeddings_meta,
    refuse_foreign_embeddings,
)
from evaluation.features.subject import Subject
from runtime import distributed
from runtime.errors import ConfigError, StopTraining
from runtime.files import REMEDY, flush, hash_file, open_table, write_json

Memmap = np.memmap[Any, np.dtype[np.float32]]


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
class _Task:
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


def write_embeddings(subject: Subject, images: ImageSet, folder: Path, piece: int = 4096) -> Written:
    """Write the folder for the images, in their order, or bring it up to date; `piece` images are computed at a time.

    Raises ConfigError for a folder of another network or protocol.
    """
    keeping = replace(subject, caches=subject.caches or (folder / PIECES,))
    memo = ContentMemo(keeping.caches[0] if distributed.is_main() else None)
    task = distributed.ask_main(lambda: _plan(subject, images, folder, memo))
    if task.done:
        return Written(read_embeddings_meta(folder), task.change)
    centre = keeping.centre() if task.centre is None else torch.tensor(task.centre, device=subject.device)
    missing = [place for place, row in enumerate(task.sources) if row < 0]
    target: Memmap | None = None
    seconds = 0.0
    with tqdm(total=len(images), initial=len(images) - len(missing), unit="img", desc=f"embeddings of {images.split}",
              file=sys.stderr, disable=not distributed.is_main(), mininterval=0.5) as shown:
        for start in range(0, len(missing), piece):
            part = missing[start : start + piece]
            features = keeping.extract(_choose(images, part), bar=shown)
            seconds += len(part) / features.images_per_second
            if distributed.is_main():
                vectors = subject.embeddings(features, centre).cpu().numpy()
                target = _open_target(folder, len(images), vectors.shape[1]) if target is None else target
                target[part] = vectors
    if distributed.is_main():
        contents = _forget_changed(task.contents, images, missing, subject, memo)
        speed = round(len(missing) / seconds, 2) if missing else task.speed
        _finish(folder, _take_over(folder, task.sources, target), images, contents, {
            **task.facts, "weights": subject.source, "images_per_second": speed, **_describe_centre(centre)})
    distributed.barrier()
    return Written(read_embeddings_meta(folder), task.change)


def _plan(subject: Subject, images: ImageSet, folder: Path, memo: ContentMemo) -> _Task:
    """What is to be done, after what a killed run left was finished."""
    _install(folder)
    facts: dict[str, object] = {"format": FORMAT, **describe_embeddings(subject, images)}
    stored: Embeddings | None = None
    if not (folder / "meta.json").is_file():
        refuse_foreign_embeddings(folder)
    else:
        found = read_embeddings_meta(folder)
        if not find_differences(found, facts, lambda: hash_contents(images, subject.crops, memo)):
            remove_cache(folder / PIECES)  # the memo of the hashes that were compared
            if found.get(DATES) != facts[DATES]:
                write_json(folder / "meta.json", {**found, DATES: facts[DATES]})
            return _Task(facts, [], [], Change(0, kept=len(images)), done=True)
        other = find_differences(found, {name: value for name, value in facts.items() if name not in LISTED})
        if other:
            remove_cache(folder / PIECES)
            raise ConfigError(f"{folder} holds embeddings made otherwise ({', '.join(other)} differ); "
                              "give another --out, or delete the folder")
        stored = _read_known(folder, subject.centred)
    facts[CONTENTS], contents = hash_contents(images, subject.crops, memo), hash_images(images, subject.crops, memo)
    if stored is None:
        return _Task(facts, contents, [-1] * len(images), Change(len(images)))
    sources, change = match_stored_rows(contents, [sample.key for sample in images.samples], stored)
    if subject.centred and min(sources) < 0:
        print(f"note: new rows are centred by the mean that {folder} was begun with, so that all can be compared; to "
              "centre by the training split as it is now, give another --out", file=sys.stderr)
    centre = cast("list[float] | None", stored.meta.get(CENTRE))
    return _Task(facts, contents, sources, change, centre, stored.meta.get("images_per_second"))


def _read_known(folder: Path, centred: bool) -> Embeddings | None:
    """The rows that lie in a folder, None with a note where nothing tells what they are of or how they were centred."""
    stored = read_embeddings(folder)
    if not any(stored.contents) or (centred and CENTRE not in stored.meta):
        print(f"note: {folder} was written by an earlier release, which did not keep what its rows are made of; all "
              "are made anew", file=sys.stderr)
        return None
    return stored


def _choose(images: ImageSet, places: Sequence[int]) -> ImageSet:
    return replace(images, samples=tuple(images.samples[place] for place in places))


def _describe_centre(centre: Tensor | None) -> dict[str, object]:
    return {} if centre is None else {CENTRE: centre.double().cpu().tolist()}


def _forget_changed(
    contents: list[str], images: ImageSet, places: list[int], subject: Subject, memo: ContentMemo
) -> list[str]:
    """The hashes, but "" of pictures that changed while their rows were computed: those are made anew next time."""
    now = dict(zip(places, hash_images(_choose(images, places), subject.crops, memo)))
    return [content if now.get(place, content) == content else "" for place, content in enumerate(contents)]


def _open_target(folder: Path, count: int, width: int) -> Memmap:
    """A file for the rows, with its room on the disk taken: a memory map that finds none would end the process."""
    path = folder / PIECES / "embeddings.npy"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = open_memmap(path, mode="w+", dtype=np.float32, shape=(count, width))
        handle = os.open(path, os.O_RDWR)
        try:
            os.posix_fallocate(handle, 0, path.stat().st_size)
        finally:
            os.close(handle)
        return target
    except OSError as error:
        raise StopTraining(f"could not write {path}, is there room? ({error}); {REMEDY}") from error


def _take_over(folder: Path, sources: Sequence[int], target: Memmap | None) -> Memmap:
    """All rows, those that were stored at their new places."""
    rows = np.asarray(sources)
    places = np.flatnonzero(rows >= 0)
    if len(places):
        stored: NDArray[np.float32] = np.load(folder / "embeddings.npy", mmap_mode="r")
        target = _open_target(folder, len(rows), stored.shape[1]) if target is None else target
        for start in range(0, len(places), CHUNK):
            part = places[start : start + CHUNK]
            target[part] = stored[rows[part]]
    assert target is not None  # there are images
    return target


def _finish(folder: Path, target: Memmap, images: ImageSet, contents: list[str], meta: dict[str, object]) -> None:
    """Lay ids.csv and meta.json beside the rows, and move the three to their places."""
    target.flush()
    flush(folder / PIECES / "embeddings.npy")
    with open_table(folder / PIECES / "ids.csv") as writer:
        writer.writerow(["row", "path", "class", "content"])
        for row, (sample, content) in enumerate(zip(images.samples, contents)):
            name = "" if sample.label is None else images.classes[sample.label]
            writer.writerow([row, sample.key, name, content])
    hashes = {name: hash_file(folder / PIECES / file) for name, file in HASHES.items()}
    write_json(folder / PIECES / "meta.json", {**meta, "dim": target.shape[1], **hashes})
    _install(folder)


def _install(folder: Path) -> None:
    """Move what is whole to its place, meta.json last; nothing where nothing is."""
    if (folder / PIECES / "meta.json").is_file():
        for name in (*HASHES.values(), "meta.json"):
            if (folder / PIECES / name).is_file():
                os.replace(folder / PIECES / name, folder / name)
        (folder / "embeddings.npy.draft").unlink(missing_ok=True)  # of an earlier release that was killed
        remove_cache(folder / PIECES)
