"""What a database of vectors keeps of an embedding, and what is asked of a database."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.features.forms import Listed
from runtime.names.spelling import spell

NAMES = uuid.UUID("5f3c9a52-6d0e-5b8e-9f5e-0f6f3f1c7a11")  # of our ids: that of a path is the same everywhere
STAMP_BYTES = 16
COLUMNS = ("path", "sha256", "class", "stamp")  # beside id and vector


@dataclass(frozen=True)
class TableRows:
    """Rows to write: `ids` are UUIDs of the paths, `cells` what `COLUMNS` hold (None = unknown), `vectors` [n, D]."""

    ids: list[str]
    cells: list[dict[str, str | None]]
    vectors: NDArray[np.float32]

    def take(self, places: Sequence[int]) -> TableRows:
        """Some of them."""
        return TableRows([self.ids[place] for place in places], [self.cells[place] for place in places],
                         self.vectors[list(places)])

    def column(self, name: str) -> list[str | None]:
        """One column's cells."""
        return [cells[name] for cells in self.cells]


class Database(Protocol):
    """One table of embeddings. Every method raises what its client raises."""

    def read_stamps(self) -> dict[str, str] | None:
        """The stamp of every row by id, "" for rows that have none; None where there is no such table."""

    def create(self, width: int) -> None:
        """An empty table for vectors of that width."""

    def drop(self) -> None:
        """Remove the table."""

    def write(self, batch: TableRows) -> None:
        """Write rows, in place of those with the same ids."""

    def remove(self, ids: Sequence[str]) -> None:
        """Remove rows."""

    def count(self) -> int:
        """Rows that are there."""


def name_row(key: str) -> str:
    """The id of a picture's row: a UUID of its path, so that rows keep their ids whatever comes before them."""
    return str(uuid.uuid5(NAMES, spell(key)))


def name_stamps(facts: Mapping[str, object]) -> str:
    """What the stamps of all embeddings of one network and protocol begin with."""
    text = repr(sorted((name, facts.get(name)) for name in (
        "weights_sha256", "arch", "feature", "input", "view", "size", "centred", "crop_bottom")))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stamp_rows(listed: Listed, vectors: NDArray[np.float32], network: str) -> TableRows:
    """Rows as they are written; a stamp differs where anything that is written does."""
    cells = []
    for key, name, content, vector in zip(listed.keys, listed.classes, listed.contents, vectors):
        path = spell(key)
        digest = hashlib.blake2b(vector.tobytes(), digest_size=STAMP_BYTES)
        digest.update(f"\n{path}\n{spell(name)}\n{content}".encode())
        cells.append({"path": path, "sha256": content or None, "class": spell(name) or None,
                      "stamp": f"{network}-{digest.hexdigest()}"})
    return TableRows([name_row(key) for key in listed.keys], cells, vectors)
