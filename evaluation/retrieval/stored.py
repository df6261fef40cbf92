"""Search indices in files: index-KIND.faiss, what its rows are made of, and, written last, how it came about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.features.store import CENTRE, find_differences
from evaluation.retrieval.index import IndexPlan, count_rows, set_effort, settle_index
from runtime.errors import DataError
from runtime.files import hash_file, write_atomically, write_json
from runtime.side_files import read_json

OWN, ROWS = "index_sha256", "index_rows_sha256"  # of the index's file, and of that with what its rows are made of
TAUGHT = "taught_by"  # embeddings that its lists, codes or graph were made for
PLAN = {"kind": str, "lists": int, "probes": int, "links": int, "reach": int, "bytes": int, "seed": int}
SHAPE = {"plan": PLAN, f"{OWN}?": str, f"{ROWS}?": str, f"{TAUGHT}?": int, f"{CENTRE}?": [float]}
REMEDY = "build the index with tools.index"
DIGEST = 32  # bytes of what a row is made of


@dataclass(frozen=True)
class StoredIndex:
    """An index of a folder with its plan, and the `facts` about the embeddings that it was built of.

    `contents` are what its rows are made of, uint8 [N, 32] (zeros = unknown), None where that was not kept; `taught_by`
    is how many embeddings its lists, codes or graph were made for.
    """

    index: Any
    plan: IndexPlan
    facts: dict[str, object]
    contents: NDArray[np.uint8] | None
    taught_by: int


def encode_contents(contents: Sequence[str]) -> NDArray[np.uint8]:
    """Hashes in hexadecimal ("" = unknown) as uint8 [N, 32]."""
    text = b"".join(bytes.fromhex(one or "00" * DIGEST) for one in contents)
    return np.frombuffer(text, dtype=np.uint8).reshape(-1, DIGEST)


def save_index(
    index: Any, folder: Path, plan: IndexPlan, facts: dict[str, object], contents: Sequence[str] = (),
    taught_by: int = 0,
) -> Path:
    """Write index-KIND.faiss, index-KIND.rows.npy and index-KIND.json into the folder.

    `facts` are about the embeddings, `contents` what each of them is made of; `taught_by` 0 means all of them.
    """
    plan = settle_index(plan, count_rows(index), index.d)
    path = folder / f"index-{plan.kind}.faiss"
    write_atomically(path, lambda draft: faiss.write_index(index, str(draft)))
    told = {"plan": asdict(plan), **facts, OWN: hash_file(path), TAUGHT: taught_by or count_rows(index)}
    if any(contents):
        rows = path.with_suffix(".rows.npy")
        write_atomically(rows, lambda draft: np.save(draft, encode_contents(contents)))
        told[ROWS] = hash_file(rows)
    write_json(path.with_suffix(".json"), told)
    return path


def read_index(path: Path) -> StoredIndex:
    """What `save_index` wrote; raises DataError for files that are broken or do not belong together."""
    facts = read_json(path.with_suffix(".json"), SHAPE, remedy=REMEDY)
    try:
        index = faiss.read_index(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is no readable index ({error}); {REMEDY}") from error
    if facts.pop(OWN, None) not in (None, hash_file(path)):
        raise DataError(f"{path} changed after tools.index wrote it, or another index's {path.stem}.json lies beside "
                        f"it; {REMEDY}")
    stored = facts.pop("plan")
    plan = IndexPlan(**{name: stored[name] for name in PLAN})
    contents = _read_contents(path.with_suffix(".rows.npy"), facts.pop(ROWS, None), count_rows(index))
    return StoredIndex(set_effort(index, plan), plan, facts, contents, facts.pop(TAUGHT, count_rows(index)))


def _read_contents(path: Path, digest: str | None, count: int) -> NDArray[np.uint8] | None:
    """What the rows are made of; None where that is missing or not what was written: a search does without."""
    if digest is None or not path.is_file() or hash_file(path) != digest:
        return None
    contents: NDArray[np.uint8] = np.load(path)
    return contents if contents.shape == (count, DIGEST) else None


def load_index(path: Path, facts: dict[str, object], contents: Callable[[], str] = str) -> Any:
    """The index of a file of `save_index`; raises DataError for other embeddings than `facts` say, or a broken file.

    `contents` hashes the photographs, see `find_differences`.
    """
    stored = read_index(path)
    other = find_differences(stored.facts, facts, contents)
    if other:
        raise DataError(f"{path} was built of other embeddings ({', '.join(other)} differ); bring it up to date: run "
                        "tools.embed on the photographs, then tools.index")
    return stored.index


def read_index_centre(path: Path) -> Tensor | None:
    """The mean [D] that was subtracted from what an index was built of; None where there is none, or it is not told."""
    centre = read_json(path.with_suffix(".json"), SHAPE, remedy=REMEDY).get(CENTRE)
    return None if centre is None else torch.tensor(centre)
