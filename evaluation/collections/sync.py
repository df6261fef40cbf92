"""A table of a database brought to what a folder of embeddings holds: a second time nothing is written.

Rows are known by the UUIDs of their paths, and that they are what they should be by their stamps. What was killed goes
on where it was.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import walk_tb

from tqdm import tqdm

from evaluation.collections.lance import LanceTable
from evaluation.collections.postgres import PostgresTable
from evaluation.collections.qdrant import QdrantTable
from evaluation.collections.rows import Database, TableRows, name_row, name_stamps, stamp_rows
from evaluation.features.forms import Listed
from evaluation.features.store import Embeddings
from runtime.errors import ConfigError, DataError

BATCH = 16_384  # embeddings held at a time
CLIENTS = {"lancedb", "qdrant_client", "psycopg", "httpx", "grpc"}  # what comes through their code is the database's
LARGEST_LOSS = 0.5  # share of a table's rows that may be removed without being asked for


@dataclass(frozen=True)
class Synced:
    """What was done to a table: rows that were new, that were others, that are gone, that stayed."""

    added: int
    changed: int
    removed: int
    kept: int

    def describe(self) -> str:
        """In words."""
        return f"{self.added} added, {self.changed} changed, {self.removed} removed, {self.kept} kept"


def open_database(kind: str, url: str, table: str) -> Database:
    """A table of lancedb, qdrant or pgvector. Raises ConfigError where it cannot be reached."""
    kinds: dict[str, Callable[[str, str], Database]] = {
        "lancedb": LanceTable, "qdrant": QdrantTable, "pgvector": PostgresTable}
    try:
        return kinds[kind](url, table)
    except Exception as error:  # each client has errors of its own
        shown = re.sub(r"//[^@/]*@", "//...@", url)  # without the password
        raise ConfigError(f"--url {shown}: {kind} cannot be opened there ({type(error).__name__}: {error})") from error


@contextmanager
def tell_client_errors(kind: str) -> Iterator[None]:
    """What a database or its client raises, as a DataError that says what became of the table."""
    try:
        yield
    except Exception as error:
        passed = {str(frame.f_globals.get("__name__")).split(".")[0] for frame, _ in walk_tb(error.__traceback__)}
        if not passed & CLIENTS:
            raise
        raise DataError(f"{kind}: {type(error).__name__}: {str(error).strip()}; what was written to the table stays; "
                        "once that is mended the same command goes on, or with --anew begins it again") from error


def sync_database(embeddings: Embeddings, database: Database, *, anew: bool = False) -> Synced:
    """Write what is new or other, remove what is gone, and count. `anew` replaces the table, whatever it holds.

    Raises ConfigError for a table that is of another network or collection, or of something else, and DataError where
    the table does not hold as many rows afterwards.
    """
    network = name_stamps(embeddings.meta)
    known = None if (found := database.read_stamps()) is None else dict(found)
    if known is not None and anew:
        database.drop()
        known = None
    if known is None:
        database.create(embeddings.vectors.shape[1])
        known = {}
    refuse_foreign_rows(known, network)
    _refuse_large_loss(known, embeddings)
    count, before = len(embeddings.keys), len(known)
    written = changed = 0
    with tqdm(total=count, unit="row", desc="rows of the table", file=sys.stderr, mininterval=0.5) as bar:
        for start in range(0, count, BATCH):
            batch = _read_batch(embeddings, start, network)
            places = [place for place, name in enumerate(batch.ids)
                      if known.get(name) != batch.cells[place]["stamp"]]
            changed += sum(batch.ids[place] in known for place in places)
            for name in batch.ids:
                known.pop(name, None)
            if places:
                database.write(batch.take(places))
            written += len(places)
            bar.update(len(batch.ids))
    if known:
        database.remove(list(known))
    if (there := database.count()) != count:
        raise DataError(f"the table holds {there} rows, and there are {count} embeddings; does another command write "
                        "into it? Run this one again; if it says the same, once more with --anew")
    return Synced(written - changed, changed, len(known), before - changed - len(known))


def refuse_foreign_rows(known: Mapping[str, str], network: str) -> None:
    """Raise ConfigError for rows that are not embeddings of this network: a search would compare what cannot be."""
    foreign = sum(not str(stamp).startswith(f"{network}-") for stamp in known.values())
    if foreign:
        raise ConfigError(f"{foreign} of the table's {len(known)} rows are not embeddings of this network and view; "
                          "give another --table, or --anew to replace the whole table")


def _refuse_large_loss(known: Mapping[str, str], embeddings: Embeddings) -> None:
    staying = sum(name in known for start in range(0, len(embeddings.keys), BATCH)
                  for name in map(name_row, embeddings.keys[start : start + BATCH]))
    if len(known) - staying > LARGEST_LOSS * len(known):
        raise ConfigError(f"{len(known) - staying} of the table's {len(known)} rows are of pictures that are not in "
                          "this folder: is it another collection's? Give another --table, or --anew to replace it")


def _read_batch(embeddings: Embeddings, start: int, network: str) -> TableRows:
    part = slice(start, start + BATCH)
    listed = Listed(embeddings.keys[part], embeddings.classes[part], embeddings.contents[part])
    return stamp_rows(listed, embeddings.vectors[part], network)
