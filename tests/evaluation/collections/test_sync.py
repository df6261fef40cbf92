"""Databases of vectors brought to what a folder of embeddings holds: real ones, in folders; see PLUMAGE_POSTGRES."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.collections import sync
from evaluation.collections.lance import hide_own_datasets
from evaluation.collections.rows import Database, name_row
from evaluation.collections.sync import open_database, sync_database, tell_client_errors
from evaluation.features.store import Embeddings
from runtime.errors import ConfigError, DataError

PACKAGES = {"lancedb": "lancedb", "qdrant": "qdrant_client", "pgvector": "psycopg"}
Open = Callable[[], Database]


def make_embeddings(numbers: list[int], **facts: object) -> Embeddings:
    """Unit embeddings [N, 8], each a function of its number; odd ones have no class."""
    rows = np.stack([np.random.default_rng(number).normal(size=8) for number in numbers])
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    contents = [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]
    return Embeddings(vectors, [f"it's \udce9 {number}.jpg" for number in numbers],
                      ["" if number % 2 else "Blue Jay" for number in numbers], contents,
                      {"weights_sha256": "w", "images": len(numbers), **facts})


@pytest.fixture(params=["lancedb", "qdrant", "pgvector"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """open(): the same table again, as another process would."""
    kind = request.param
    with hide_own_datasets():
        pytest.importorskip(PACKAGES[kind], reason=f"--to {kind} is by {PACKAGES[kind]}")
    url = str(tmp_path / "base")
    if kind == "pgvector":
        url = os.environ.get("PLUMAGE_POSTGRES", "")
        if not url:
            pytest.skip("set PLUMAGE_POSTGRES to postgresql://... of a server with pgvector")
    monkeypatch.setattr(sync, "BATCH", 7)
    before: list[Database] = []

    def again() -> Database:
        for one in before:
            client = getattr(one, "client", None)
            if client is not None:
                client.close()
        before[:] = [open_database(kind, url, f"birds_{os.getpid()}")]
        return before[0]

    database = again()
    if database.read_stamps() is not None:
        database.drop()
    yield again
    if before[0].read_stamps() is not None:
        before[0].drop()


def list_rows(database: Database) -> dict[str, tuple[str, str | None, str | None, np.ndarray]]:
    """path, sha256, class and vector of every row by id, read by the database's own client."""
    kind = type(database).__name__
    if kind == "LanceTable":
        table = database.table.to_arrow().to_pylist()
        return {row["id"]: (row["path"], row["sha256"], row["class"], np.array(row["vector"], np.float32)) for row in table}
    if kind == "QdrantTable":
        points, _ = database.client.scroll(database.name, limit=1000, with_vectors=True)
        return {point.id: (point.payload["path"], point.payload["sha256"], point.payload["class"],
                           np.array(point.vector, np.float32)) for point in points}
    found = database.client.execute(f"SELECT id::text, path, sha256, class, embedding::text FROM {database.name}")
    return {name: (path, content, label, np.array(text[1:-1].split(","), np.float32)) for name, path, content, label, text in found}


def assert_holds(database: Database, embeddings: Embeddings) -> None:
    rows = list_rows(database)
    assert len(rows) == len(embeddings.keys) == database.count()
    for place, key in enumerate(embeddings.keys):
        path, content, label, vector = rows[name_row(key)]
        assert path == key.replace("\udce9", r"\xE9") and content == (embeddings.contents[place] or None)
        assert label == (embeddings.classes[place] or None)
        np.testing.assert_allclose(vector, embeddings.vectors[place], atol=1e-7)


def test_rows_come_change_and_go_and_a_second_time_nothing_is_written(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_embeddings(list(range(30)))
    assert sync_database(first, opened()) == sync.Synced(30, 0, 0, 0)
    assert_holds(opened(), first)
    database = opened()
    monkeypatch.setattr(database, "write", lambda batch: pytest.fail("it wrote"))
    monkeypatch.setattr(database, "remove", lambda ids: pytest.fail("it removed"))
    assert sync_database(first, database) == sync.Synced(0, 0, 0, 30)
    after = make_embeddings([*range(3, 20), *range(22, 36)])
    after.vectors[4] = after.vectors[4][::-1].copy()
    after.classes[8] = "Painted Bunting"
    assert sync_database(after, opened()) == sync.Synced(6, 2, 5, 23)
    assert_holds(opened(), after)


def test_what_was_killed_goes_on(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, database = make_embeddings(list(range(30))), opened()
    real, written = database.write, []

    def write(batch: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(batch)
        real(batch)

    monkeypatch.setattr(database, "write", write)
    with pytest.raises(KeyboardInterrupt):
        sync_database(embeddings, database)
    assert sync_database(embeddings, opened()) == sync.Synced(16, 0, 0, 14)
    assert_holds(opened(), embeddings)


def test_a_table_of_something_else_is_not_touched(opened: Open) -> None:
    first = make_embeddings(list(range(30)))
    sync_database(first, opened())
    with pytest.raises(ConfigError, match=r"30 of the table's 30 rows are not embeddings of this network"):
        sync_database(make_embeddings(list(range(30)), weights_sha256="v"), opened())
    with pytest.raises(ConfigError, match=r"20 of the table's 30 rows are of pictures that are not in this folder"):
        sync_database(make_embeddings(list(range(20, 90))), opened())
    assert_holds(opened(), first)
    other = replace(make_embeddings(list(range(5))), vectors=np.eye(5, dtype=np.float32))
    assert sync_database(other, opened(), anew=True) == sync.Synced(5, 0, 0, 0)  # and of another width
    assert_holds(opened(), other)


def test_rows_that_another_command_added_meanwhile_are_told(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    database = opened()
    monkeypatch.setattr(database, "count", lambda: 31)
    with pytest.raises(DataError, match="the table holds 31 rows, and there are 30 embeddings"):
        sync_database(make_embeddings(list(range(30))), database)


def test_what_a_client_raises_is_told_and_our_own_mistakes_are_not_hidden(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    database = opened()
    write = database.write
    monkeypatch.setattr(database, "write", lambda batch: write(replace(batch, vectors=batch.vectors[:, :-1])))
    with pytest.raises(DataError, match="(?s)x: .*the same command goes on"), tell_client_errors("x"):
        sync_database(make_embeddings(list(range(9))), database)
    for slip in (KeyError("a slip"), OSError("a shard of ours is gone")):
        with pytest.raises(type(slip)), tell_client_errors("x"):
            raise slip


def test_an_address_without_a_database_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg", reason="--to pgvector is by psycopg")
    with pytest.raises(ConfigError, match=r"--url postgresql://\.\.\.@127.0.0.1:9/x: pgvector cannot be opened") as caught:
        open_database("pgvector", "postgresql://me:secret@127.0.0.1:9/x", "birds")
    assert "secret" not in str(caught.value)
