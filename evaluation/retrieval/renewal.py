"""A search index brought up to date: rows that are new are added to it, those that are gone are removed from it.

A graph (hnsw) keeps the nodes of rows that are gone, for its ways lead through them, and finds them no more. What
cannot be had so is built anew, and said: a graph much of which is gone, and lists and codes for many more embeddings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from evaluation.features.store import CONTENTS, FORM, HASHES, LISTED, SHARD_SIZE, SHARDS, Embeddings
from evaluation.retrieval.index import IndexPlan, add_rows, build_index, set_effort, settle_index
from evaluation.retrieval.stored import StoredIndex, encode_contents, read_index
from runtime.errors import DataError

OWN = {"ivf": ("lists", "seed"), "hnsw": ("links",), "ivfpq": ("lists", "bytes", "seed")}  # a kind's own flags
GONE = 0.2  # share of a graph's nodes that may be of rows that are gone; with more it is built anew
GROWTH = 2  # times as many embeddings as an index was made for; with more it is built anew
# Facts that change while rows stay what they are.
PASSING = {"images_per_second", "weights", "mean", "std", CONTENTS, FORM, SHARD_SIZE, SHARDS, *LISTED, *HASHES}


@dataclass(frozen=True)
class Renewal:
    """An index of all embeddings, the plan that it follows, how many it was made for, and in words what was done."""

    index: Any
    plan: IndexPlan
    taught_by: int
    said: str


@dataclass(frozen=True)
class Shift:
    """The row of every stored embedding now, int64 [N] (-1 = gone), and the rows that are new, int64 [n]."""

    rows: NDArray[np.int64]
    added: NDArray[np.int64]

    @property
    def gone(self) -> NDArray[np.int64]:
        """The stored rows that are no more."""
        return np.flatnonzero(self.rows < 0)


def find_shift(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Shift:
    """Where rows went, by what they are made of, uint8 [N, 32] and [M, 32]; unknown ones (zeros) are gone, and new."""
    free: dict[bytes, list[int]] = defaultdict(list)
    for row in range(len(before) - 1, -1, -1):
        if before[row].any():
            free[before[row].tobytes()].append(row)
    rows, added = np.full(len(before), -1, dtype=np.int64), []
    for row in range(len(after)):
        waiting = free.get(after[row].tobytes())
        if waiting:
            rows[waiting.pop()] = row
        else:
            added.append(row)
    return Shift(rows, np.array(added, dtype=np.int64))


def renew_index(embeddings: Embeddings, folder: Path, plan: IndexPlan, *, anew: bool = False) -> Renewal:
    """The index of a plan for all embeddings: the folder's own, brought up to date, where it follows the plan."""
    path = folder / f"index-{plan.kind}.faiss"
    if plan.kind == "flat":
        return _build(embeddings, plan, "written as a whole: to it, adding is no less work")
    if anew or not path.with_suffix(".json").is_file():
        return _build(embeddings, plan, "built")
    try:
        stored = read_index(path)
    except DataError as error:
        return _build(embeddings, plan, f"built anew ({error})")
    if stored.contents is None:
        return _build(embeddings, plan, "built anew (nothing tells what the rows of the former one are of)")
    shift = find_shift(stored.contents, encode_contents(embeddings.contents))
    reason = find_obstacle(stored, shift, embeddings, plan)
    if reason:
        return _build(embeddings, plan, f"built anew ({reason})")
    plan = replace(stored.plan, probes=plan.probes or stored.plan.probes, reach=plan.reach)
    _move_rows(stored.index, shift)
    add_rows(stored.index, embeddings.vectors, shift.added)
    return Renewal(set_effort(stored.index, plan), plan, stored.taught_by,
                   f"{len(shift.added)} added, {len(shift.gone)} removed, {(shift.rows >= 0).sum()} kept")


def find_obstacle(stored: StoredIndex, shift: Shift, embeddings: Embeddings, plan: IndexPlan) -> str:
    """Why a stored index cannot be brought up to date, in words; "" where it can."""
    other = find_other_facts(stored.facts, embeddings.meta)
    if other:
        return f"the former one is of other embeddings: {', '.join(other)} differ"
    asked = {name: getattr(plan, name) for name in OWN[plan.kind]}
    unlike = [name for name, value in asked.items()
              if (value or name == "seed") and getattr(stored.plan, name) != value]
    if unlike:
        return f"the former one has other {', '.join(unlike)}"
    count = len(embeddings.keys)
    if count > GROWTH * stored.taught_by:
        return f"the former one was made for {stored.taught_by} embeddings, and there are {count}"
    if plan.kind != "hnsw" and stored.plan.lists > count:
        return f"the former one has {stored.plan.lists} lists, and there are {count} embeddings"
    if plan.kind == "hnsw":
        gone = stored.index.ntotal - int((shift.rows >= 0).sum())
        if gone > GONE * stored.index.ntotal:
            return f"{gone} of the {stored.index.ntotal} nodes of its graph would be of embeddings that are gone"
    return ""


def find_other_facts(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What was otherwise when the stored rows were made, by name; the list of photographs may be another."""
    return sorted(name for name in {*before, *now} - PASSING if before.get(name) != now.get(name))


def _build(embeddings: Embeddings, plan: IndexPlan, said: str) -> Renewal:
    count, width = embeddings.vectors.shape
    return Renewal(build_index(embeddings.vectors, plan), settle_index(plan, count, width), count, said)


def _move_rows(index: Any, shift: Shift) -> None:
    """Remove the rows that are gone, and call the others by the numbers that they have now."""
    if isinstance(index, faiss.IndexIDMap):
        numbers = faiss.vector_to_array(index.id_map)  # -1: gone before
        faiss.copy_array_to_vector(np.where(numbers < 0, -1, shift.rows[numbers]), index.id_map)
        return
    index.remove_ids(shift.gone)
    for place in range(index.nlist):
        count = index.invlists.list_size(place)
        if count:
            numbers = faiss.rev_swig_ptr(index.invlists.get_ids(place), count)  # a view of the list itself
            numbers[:] = shift.rows[numbers]
