"""Embeddings in many files, so that nobody holds all of them: shards of .npy with a table beside each, or of Parquet.

A shard holds `size` consecutive rows. Parquet has columns id (the row's number, which indices answer with), path,
sha256 (what the picture is made of), class, embedding (a list of fixed size), and facts on the network in its schema.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.files import open_table, write_atomically
from runtime.names.spelling import spell, unspell

GROUP = 8192  # rows of Parquet that are read at a time
FACTS = b"plumage"  # of the schema's metadata
SHARD_FILE = re.compile(r"(embeddings|ids)-\d{5,}\.(npy|csv|parquet)")
Block = NDArray[np.float32]
Facts = Mapping[str, object]


@dataclass(frozen=True)
class Listed:
    """Whose embeddings rows are: names, classes ("" = none), and what the pictures are made of ("" = unknown)."""

    keys: list[str]
    classes: list[str]
    contents: list[str]

    def cut(self, start: int, stop: int) -> Listed:
        """Some of them."""
        return Listed(self.keys[start:stop], self.classes[start:stop], self.contents[start:stop])

    def extend(self, other: Listed) -> None:
        """Add others at the end."""
        self.keys.extend(other.keys)
        self.classes.extend(other.classes)
        self.contents.extend(other.contents)


class Form(Protocol):
    """How one shard lies in a folder; what reads raises OSError or ValueError for files that are none."""

    name: str

    def files(self, number: int) -> tuple[str, ...]:
        """Its files, the one that is written last at the end: with it the shard is whole."""

    def write(self, folder: Path, number: int, start: int, listed: Listed, vectors: Block, facts: Facts) -> None:
        """Write rows [n, D], the first of which has the number `start`, with facts on how they were made."""

    def read_listed(self, folder: Path, number: int) -> Listed:
        """Whose rows they are."""

    def measure(self, folder: Path, number: int) -> tuple[int, int]:
        """Its rows and the width of each."""

    def read(self, folder: Path, number: int, rows: NDArray[np.int64]) -> Block:
        """Some of its rows, counted from its first."""


class NpyForm:
    """embeddings-00000.npy, and ids-00000.csv: row, path, class, content."""

    name = "npy"

    def files(self, number: int) -> tuple[str, ...]:
        """The table is written last."""
        return f"embeddings-{number:05d}.npy", f"ids-{number:05d}.csv"

    def write(self, folder: Path, number: int, start: int, listed: Listed, vectors: Block, facts: Facts) -> None:
        """The facts are those of meta.json."""
        rows, table = (folder / name for name in self.files(number))
        table.unlink(missing_ok=True)  # of other rows: a kill would leave it beside the new ones
        write_atomically(rows, lambda draft: np.save(draft, vectors))
        with open_table(table) as writer:
            writer.writerow(["row", "path", "class", "content"])
            writer.writerows(zip(range(start, start + len(vectors)), listed.keys, listed.classes, listed.contents))

    def read_listed(self, folder: Path, number: int) -> Listed:
        """From the table."""
        with open(folder / self.files(number)[1], newline="", encoding="utf-8") as file:
            lines = [[line.get(name) for name in ("path", "class", "content")] for line in csv.DictReader(file)]
        if any(cell is None for line in lines for cell in line):
            raise ValueError(f"{self.files(number)[1]} lacks a column or the end of a line")
        keys, classes, contents = ([str(cell) for cell in column] for column in (zip(*lines) if lines else ([],) * 3))
        return Listed([unspell(key) for key in keys], [unspell(name) for name in classes], contents)

    def measure(self, folder: Path, number: int) -> tuple[int, int]:
        """From the head of the array."""
        rows = self._open(folder, number)
        return rows.shape[0], rows.shape[1]

    def read(self, folder: Path, number: int, rows: NDArray[np.int64]) -> Block:
        """From a memory map."""
        return np.asarray(self._open(folder, number)[rows])

    def _open(self, folder: Path, number: int) -> Block:
        rows: Block = np.load(folder / self.files(number)[0], mmap_mode="r")
        if rows.ndim != 2 or rows.dtype != np.float32:
            raise ValueError(f"{self.files(number)[0]} holds {rows.dtype} {list(rows.shape)}, not float32")
        return rows


class ParquetForm:
    """embeddings-00000.parquet, by pyarrow."""

    name = "parquet"

    def files(self, number: int) -> tuple[str, ...]:
        """One."""
        return (f"embeddings-{number:05d}.parquet",)

    def write(self, folder: Path, number: int, start: int, listed: Listed, vectors: Block, facts: Facts) -> None:
        """Embeddings are not compressed: they are noise to a compressor."""
        import pyarrow
        from pyarrow import parquet

        embedding = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), vectors.shape[1])
        table = pyarrow.table({
            "id": pyarrow.array(range(start, start + len(vectors)), pyarrow.int64()),
            "path": pyarrow.array([spell(key) for key in listed.keys], pyarrow.string()),
            "sha256": pyarrow.array([content or None for content in listed.contents], pyarrow.string()),
            "class": pyarrow.array([spell(name) or None for name in listed.classes], pyarrow.string()),
            "embedding": embedding}).replace_schema_metadata({FACTS: json.dumps(facts)})
        write_atomically(folder / self.files(number)[0], lambda draft: parquet.write_table(
            table, draft, row_group_size=GROUP, use_dictionary=["class"], write_statistics=["id", "path"],
            compression={name: "none" if name == "embedding" else "zstd" for name in table.column_names}))

    def read_listed(self, folder: Path, number: int) -> Listed:
        """From the columns of text."""
        table = self._open(folder, number).read(columns=["path", "class", "sha256"])
        keys, classes, contents = (table[name].to_pylist() for name in ("path", "class", "sha256"))
        return Listed([unspell(key) for key in keys], [unspell(name or "") for name in classes],
                      [content or "" for content in contents])

    def measure(self, folder: Path, number: int) -> tuple[int, int]:
        """From the schema."""
        file = self._open(folder, number)
        kind: Any = file.schema_arrow.field("embedding").type
        if str(kind.value_type) != "float":
            raise ValueError(f"{self.files(number)[0]} holds {kind}, not float32")
        return file.metadata.num_rows, kind.list_size

    def read(self, folder: Path, number: int, rows: NDArray[np.int64]) -> Block:
        """From those groups of rows that hold some of them."""
        file = self._open(folder, number)
        groups = np.unique(rows // GROUP)
        read = file.read_row_groups(groups.tolist(), columns=["embedding"])["embedding"].combine_chunks()
        block: Block = read.flatten().to_numpy().reshape(len(read), -1)
        if len(rows) == len(block) and rows[0] % GROUP == 0 and bool((np.diff(rows) == 1).all()):
            return block
        return block[np.searchsorted(groups, rows // GROUP) * GROUP + rows % GROUP]

    def _open(self, folder: Path, number: int) -> Any:
        from pyarrow import parquet

        return parquet.ParquetFile(folder / self.files(number)[0])


FORMS: dict[str, Form] = {form.name: form for form in (NpyForm(), ParquetForm())}


def list_shard_files(folder: Path) -> list[Path]:
    """Files of a folder, if it is there, that are named as shards are."""
    return [path for path in sorted(folder.glob("*")) if SHARD_FILE.fullmatch(path.name)]


class ShardedVectors:
    """Unit embeddings [N, D] float32 in the shards of a folder: `vectors[rows]`, a slice or an array, reads only those.

    Raises ValueError or OSError where the shards are not of `counts` rows, all but the last alike, or differ in width.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, folder: Path, form: Form, counts: Sequence[int]) -> None:
        self.folder, self.form = folder, form
        sizes = [form.measure(folder, number) for number in range(len(counts))]
        if [rows for rows, _ in sizes] != list(counts) or len({width for _, width in sizes}) != 1:
            raise ValueError(f"its shards hold {sizes[:3]} ... rows and numbers, not {list(counts[:3])} ... rows")
        if len({*counts[:-1]}) > 1:
            raise ValueError(f"its shards are of {sorted({*counts[:-1]})} rows")
        self.size, self.shape = counts[0], (sum(counts), sizes[0][1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> Block:
        rows = np.arange(*chosen.indices(len(self))) if isinstance(chosen, slice) else np.asarray(chosen)
        found: Block = np.empty((len(rows), self.shape[1]), np.float32)
        shards = rows // self.size
        for number in np.unique(shards).tolist():
            places = np.flatnonzero(shards == number)
            found[places] = self.form.read(self.folder, number, rows[places] % self.size)
        return found


Vectors = NDArray[np.float32] | ShardedVectors
