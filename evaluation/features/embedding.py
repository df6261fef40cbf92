"""A folder of embeddings written, or brought up to date: rows of pictures that are known are taken over.

What is new lies in `pieces/` until it is whole: embeddings.npy, ids.csv and then meta.json, which says that the three
are to be moved over the old ones. A run that was killed meanwhile is finished by the next one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.images import ImageSet
from evaluation.features.contents import ContentMemo
from evaluation.features.planning import (
    Written,
    choose_images,
    describe_centre,
    forget_changed,
    install_pieces,
    plan_embeddings,
)
from evaluation.features.store import CHUNK, HASHES, PIECES, read_embeddings_meta
from evaluation.features.subject import Subject
from runtime import distributed
from runtime.errors import StopTraining
from runtime.files import REMEDY, flush, hash_file, open_table, write_json

Memmap = np.memmap[Any, np.dtype[np.float32]]


def write_embeddings(subject: Subject, images: ImageSet, folder: Path, piece: int = 4096) -> Written:
    """Write the folder for the images, in their order, or bring it up to date; `piece` images are computed at a time.

    Raises ConfigError for a folder of another network or protocol.
    """
    keeping = replace(subject, caches=subject.caches or (folder / PIECES,))
    memo = ContentMemo(keeping.caches[0] if distributed.is_main() else None)
    task = distributed.ask_main(lambda: plan_embeddings(subject, images, folder, memo))
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
            features = keeping.extract(choose_images(images, part), bar=shown)
            seconds += len(part) / features.images_per_second
            if distributed.is_main():
                vectors = subject.embeddings(features, centre).cpu().numpy()
                target = _open_target(folder, len(images), vectors.shape[1]) if target is None else target
                target[part] = vectors
    if distributed.is_main():
        contents = forget_changed(task.contents, images, missing, subject, memo)
        speed = round(len(missing) / seconds, 2) if missing else task.speed
        _finish(folder, _take_over(folder, task.sources, target), images, contents, {
            **task.facts, "weights": subject.source, "images_per_second": speed, **describe_centre(centre)})
    distributed.barrier()
    return Written(read_embeddings_meta(folder), task.change)


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
    install_pieces(folder)
