"""Features that are kept between runs: by what each picture is made of, in one folder or in several with the same rows.

Under every folder of a cache lies `features/HASH/` for each question (weights, view, precision, banner, kind of device,
releases of the libraries), with a row of every picture that was ever asked about.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from evaluation.features.contents import MEMO
from evaluation.features.shards import Rows, append_rows, list_shards, merge_shards, read_kept_rows
from runtime.errors import DataError, StopTraining
from runtime.files import write_json

COPIED = 4096  # rows that are written at a time where a folder lacks what another has
KeyMaker = Callable[[Sequence[int]], list[bytes]]


@dataclass(frozen=True)
class Plan:
    """Places to compute, (place, source) of images that share another's row, and seconds a known one took."""

    missing: list[int]
    twice: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0


class Table:
    """Feature rows [N, ...] by name, filled in any order: `known` [N] says which are there."""

    def __init__(self, count: int) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.known = torch.zeros(count, dtype=torch.bool)

    def put(self, index: Tensor, rows: dict[str, Tensor]) -> None:
        """Rows at the places `index` int64 [n]. Raises RuntimeError for a place that has one, and for other outputs."""
        if not self.tensors:
            self.tensors = {name: value.new_empty((len(self.known), *value.shape[1:])) for name, value in rows.items()}
        before, now = ({name: tuple(value.shape[1:]) for name, value in one.items()} for one in (self.tensors, rows))
        if before != now:
            raise RuntimeError(f"outputs of shapes {now} cannot stand with earlier ones of {before}; if those are from "
                               "a cache, delete it")
        if bool(self.known[index].any()) or len(index.unique()) < len(index):
            raise RuntimeError("an image has features twice")
        for name, value in rows.items():
            self.tensors[name].index_copy_(0, index, value)
        self.known[index] = True

    def complete(self, twice: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """All rows, once each place has that of its source; raises RuntimeError when an image has none."""
        if twice:
            places, sources = torch.tensor(twice).T
            self.put(places, {name: value.index_select(0, sources) for name, value in self.tensors.items()})
        if not bool(self.known.all()):
            raise RuntimeError(f"{int(self.known.sum())} of {len(self.known)} images have features")
        return self.tensors


class FeatureCache:
    """What several folders know of `count` pictures, of which `name` gives the keys by their places.

    Pictures of one key share a row. A folder that cannot be written to is noted once, and then left alone.
    """

    def __init__(self, caches: Sequence[Path], question: dict[str, object], name: KeyMaker, count: int) -> None:
        digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:32]
        self.folders = [Path(cache) / "features" / digest for cache in caches]
        self.question, self.name = question, name
        self.keys = name(range(count))

    def read(self, table: Table) -> Plan:
        """Fill the table with what is known, and give every folder what another has."""
        first: dict[bytes, int] = {}
        for place, key in enumerate(self.keys):
            first.setdefault(key, place)
        missing, seconds = dict(first), 0.0
        for folder in self.folders:
            for rows in read_kept_rows(folder, missing):
                table.put(torch.tensor([missing.pop(key) for key in rows.keys]), rows.tensors)
                seconds += rows.seconds * len(rows.keys)
        each = seconds / max(len(first) - len(missing), 1)
        self._share(table, [place for key, place in first.items() if key not in missing], each)
        twice = [(place, first[key]) for place, key in enumerate(self.keys) if first[key] != place]
        return Plan(list(missing.values()), twice, each)

    def add(self, index: Tensor, rows: dict[str, Tensor], seconds: float) -> None:
        """Keep rows that were computed, in `seconds` each: not those with NaN, nor of files that changed meanwhile."""
        with suppress(DataError):  # a picture is gone by now
            now = self.name(index.tolist())
            finite = torch.stack([value.flatten(1).isfinite().all(dim=1) for value in rows.values()]).all(dim=0)
            same = torch.tensor([key == self.keys[place] for key, place in zip(now, index.tolist())])
            good = (finite & same).nonzero().flatten().tolist()
            if good:
                kept = Rows(now, rows, seconds).take(good)
                self.folders = [folder for folder in self.folders if self._write(folder, kept)]

    def merge(self) -> None:
        """Put small files together."""
        for folder in self.folders:
            with suppress(OSError, SafetensorError, StopTraining):  # the small ones serve as well
                merge_shards(folder)

    def _share(self, table: Table, places: list[int], seconds: float) -> None:
        """Write into each of several folders the rows at these places that it lacks."""
        for folder in list(self.folders if len(self.folders) > 1 else ()):
            there = {key for rows in read_kept_rows(folder, set(self.keys)) for key in rows.keys}  # what is whole alone
            lacking = [place for place in places if self.keys[place] not in there]
            for start in range(0, len(lacking), COPIED):
                part = lacking[start : start + COPIED]
                rows = {name: value.index_select(0, torch.tensor(part)) for name, value in table.tensors.items()}
                if not self._write(folder, Rows([self.keys[place] for place in part], rows, seconds)):
                    self.folders.remove(folder)
                    break

    def _write(self, folder: Path, rows: Rows) -> bool:
        """Whether the rows are kept: a full disk costs the cache only."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "question.json").exists():
                write_json(folder / "question.json", self.question)
            append_rows(folder, rows)
            return True
        except (OSError, SafetensorError, StopTraining) as error:
            print(f"note: features are not kept for next time: {error}", file=sys.stderr)
            return False


def remove_features(folder: Path) -> None:
    """Remove the features of a cache; hashes of pictures and what else lies there stay."""
    for question in (folder / "features").glob("*"):
        for path in [*list_shards(question), question / "question.json"]:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            question.rmdir()


def remove_cache(folder: Path) -> None:
    """Remove a cache that served one purpose alone; what else lies in its folders stays, and so do they then."""
    remove_features(folder)
    (folder / MEMO).unlink(missing_ok=True)
    for place in (folder / "features", folder):
        with suppress(OSError):
            place.rmdir()
