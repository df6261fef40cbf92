"""A folder of embeddings in shards, written or brought up to date: one shard at a time is in memory.

Shards that are new or other than before lie whole in `pieces/` until all are; those that stay the same are left alone.
A run that was killed goes on with the shard at which it stood.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datasets.images import ImageSet
from evaluation.features.cache import remove_features
from evaluation.features.contents import ContentMemo
from evaluation.features.forms import FORMS, Block, Form, Listed, ShardedVectors, list_shard_files
from evaluation.features.planning import (
    PLAN,
    EmbeddingTask,
    Written,
    choose_images,
    describe_centre,
    forget_changed,
    install_pieces,
    plan_embeddings,
)
from evaluation.features.store import (
    CENTRE,
    CONTENTS,
    FORM,
    LISTED,
    PIECES,
    SHARD_SIZE,
    SHARDS,
    list_hashes,
    need_form,
    read_embeddings_meta,
)
from evaluation.features.subject import Subject
from runtime import distributed
from runtime.errors import DataError
from runtime.files import hash_file, write_json
from runtime.side_files import read_json


@dataclass(frozen=True)
class Layout:
    """The form of shards (`forms.FORMS`), and the rows of each."""

    form: str
    size: int

    def describe(self, subject: Subject) -> dict[str, object]:
        """As meta.json tells it, with what pixels are scaled by."""
        backbone = subject.encoder.backbone
        mean, std = ([round(value, 6) for value in one.flatten().tolist()]
                     for one in (backbone.mean, backbone.std))
        return {FORM: self.form, SHARD_SIZE: self.size, "mean": mean, "std": std}


@dataclass
class _Work:
    """A folder's shards while they are written; `whole` are the numbers of those that are."""

    folder: Path
    form: Form
    size: int
    task: EmbeddingTask
    listed: Listed
    constants: dict[str, object]
    whole: set[int] = field(default_factory=set)

    @property
    def pieces(self) -> Path:
        """Where new shards lie until all are whole."""
        return self.folder / PIECES

    def span(self, number: int) -> range:
        """The rows of a shard."""
        return range(number * self.size, min((number + 1) * self.size, len(self.listed.keys)))

    @property
    def numbers(self) -> range:
        """Of all shards."""
        return range(-(-len(self.listed.keys) // self.size))

    @cached_property
    def stored(self) -> Sequence[Mapping[str, int]]:
        """The shards of the folder as it was when the work began."""
        if not (self.folder / "meta.json").is_file():
            return []
        return cast("list[dict[str, int]]", read_embeddings_meta(self.folder).get(SHARDS, []))

    @cached_property
    def stored_vectors(self) -> ShardedVectors:
        """Their rows."""
        return ShardedVectors(self.folder, self.form, [shard["rows"] for shard in self.stored])


def write_shards(subject: Subject, images: ImageSet, folder: Path, layout: Layout, piece: int = 4096) -> Written:
    """Write the folder for the images, in their order, or bring it up to date; `piece` images are computed at a time.

    Raises ConfigError for a folder of another network, protocol or layout.
    """
    need_form(layout.form)
    keeping = replace(subject, caches=subject.caches or (folder / PIECES,))
    memo = ContentMemo(keeping.caches[0] if distributed.is_main() else None)
    task = distributed.ask_main(lambda: plan_embeddings(subject, images, folder, memo, layout.describe(subject)))
    if task.done:
        return Written(read_embeddings_meta(folder), task.change)
    work = _Work(folder, FORMS[layout.form], layout.size, task, _list_images(images, task.contents),
                 {name: value for name, value in task.facts.items() if name not in (*LISTED, CONTENTS)})
    centre = _find_centre(keeping, work)
    work.whole = distributed.ask_main(lambda: _begin(work, centre))
    speed = _fill(keeping, images, work, centre, piece, memo)
    if distributed.is_main():
        _finish(work, {**task.facts, "weights": subject.source, "images_per_second": speed or task.speed or 0.0,
                       **describe_centre(centre)})
    distributed.barrier()
    return Written(read_embeddings_meta(folder), task.change)


def _list_images(images: ImageSet, contents: list[str]) -> Listed:
    names = ["" if sample.label is None else images.classes[sample.label] for sample in images.samples]
    return Listed([sample.key for sample in images.samples], names, contents)


def _find_centre(subject: Subject, work: _Work) -> Tensor | None:
    """That of the stored rows, else of the shards that a killed run left, else the training split's."""
    known = work.task.centre or distributed.ask_main(lambda: _read_plan(work).get(CENTRE))
    return subject.centre() if known is None else torch.tensor(known, device=subject.device)


def _read_plan(work: _Work) -> Mapping[str, list[float]]:
    """What pieces/plan.json tells of the shards there; nothing where they are not of this network and layout."""
    try:
        found = read_json(work.pieces / PLAN, {"facts": {}, f"{CENTRE}?": [float]}, remedy="")
    except DataError:
        return {}
    return found if found["facts"] == work.constants else {}


def _begin(work: _Work, centre: Tensor | None) -> set[int]:
    """Remove shards of other plans, say in plan.json what is to come, and find what is whole."""
    wanted = describe_centre(centre)
    plan = _read_plan(work)
    if not plan or plan.get(CENTRE) != wanted.get(CENTRE):
        for path in list_shard_files(work.pieces):
            path.unlink()
        work.pieces.mkdir(parents=True, exist_ok=True)
        write_json(work.pieces / PLAN, {"facts": work.constants, **wanted})
    return {number for number in work.numbers if _is_whole(work, number)}


def _is_whole(work: _Work, number: int) -> bool:
    """Whether a shard of these very rows lies in pieces/, or in the folder itself and none is to replace it."""
    span = work.span(number)
    wanted = work.listed.cut(span.start, span.stop)
    names = work.form.files(number)
    drafted = (work.pieces / names[-1]).is_file()
    if not drafted and number >= len(work.stored):
        return False
    try:
        return work.form.read_listed(work.pieces if drafted else work.folder, number) == wanted
    except (OSError, ValueError):
        return False


def _fill(
    subject: Subject, images: ImageSet, work: _Work, centre: Tensor | None, piece: int, memo: ContentMemo
) -> float:
    """Compute and write all shards that are not whole; images a second, 0 where none was computed."""
    computed, seconds = 0, 0.0
    with tqdm(total=len(images), unit="img", desc=f"embeddings of {images.split}", file=sys.stderr,
              disable=not distributed.is_main(), mininterval=0.5) as shown:
        for number in work.numbers:
            span = work.span(number)
            missing = [place for place in span if work.task.sources[place] < 0 and number not in work.whole]
            shown.update(len(span) - len(missing))
            block: Block | None = None
            for start in range(0, len(missing), piece):
                part = missing[start : start + piece]
                features = subject.extract(choose_images(images, part), bar=shown)
                computed, seconds = computed + len(part), seconds + len(part) / features.images_per_second
                if distributed.is_main():
                    rows = subject.embeddings(features, centre).cpu().numpy()
                    block = np.empty((len(span), rows.shape[1]), np.float32) if block is None else block
                    block[np.array(part) - span.start] = rows
            if distributed.is_main() and number not in work.whole:
                _write(subject, images, work, number, block, memo)
    return round(computed / seconds, 2) if computed else 0.0


def _write(
    subject: Subject, images: ImageSet, work: _Work, number: int, block: Block | None, memo: ContentMemo
) -> None:
    """Write a shard of the rows in `block`, and of those that were stored."""
    span = work.span(number)
    sources = np.array(work.task.sources[span.start : span.stop])
    taken = np.flatnonzero(sources >= 0)
    if len(taken):
        width = work.stored_vectors.shape[1]
        block = np.empty((len(span), width), np.float32) if block is None else block
        block[taken] = work.stored_vectors[sources[taken]]
    assert block is not None  # a shard has rows
    listed = work.listed.cut(span.start, span.stop)
    made = np.flatnonzero(sources < 0).tolist()
    contents = forget_changed(listed.contents, choose_images(images, span), made, subject, memo)
    work.form.write(work.pieces, number, span.start, replace(listed, contents=contents), block, work.constants)
    remove_features(work.pieces)  # the shard has them


def _finish(work: _Work, meta: dict[str, object]) -> None:
    """Lay meta.json beside the shards, and move all to their places."""
    hashes = list_hashes(read_embeddings_meta(work.folder)) if (work.folder / "meta.json").is_file() else {}
    shards = []
    for number in work.numbers:
        names = work.form.files(number)
        drafted = all((work.pieces / name).is_file() for name in names)
        if not drafted:  # rows that a kill left without their table would be moved over the whole ones
            for name in names:
                (work.pieces / name).unlink(missing_ok=True)
        told = {name: hash_file(work.pieces / name) if drafted else hashes[name] for name in names}
        shards.append({"rows": len(work.span(number)), "sha256": told})
    width = work.form.measure(work.pieces if drafted else work.folder, number)[1]
    write_json(work.pieces / "meta.json", {**meta, "dim": width, SHARDS: shards})
    install_pieces(work.folder)
