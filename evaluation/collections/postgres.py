"""A table of PostgreSQL with the extension pgvector, by psycopg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluation.collections.rows import COLUMNS, TableRows


class PostgresTable:
    """`name` at `url` (postgresql://...): columns id uuid, path, sha256, class, stamp text, embedding vector(D)."""

    def __init__(self, url: str, name: str) -> None:
        import psycopg
        from psycopg import sql

        self.client: Any = psycopg.connect(url, autocommit=True)
        self.name, self.sql = name, sql

    def read_stamps(self) -> dict[str, str] | None:
        """See `rows.Database`."""
        columns = {name for (name,) in self.client.execute(
            "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 "
            "AND NOT a.attisdropped", [self._fill("{table}").as_string(self.client)])}
        if not columns:
            return None
        if not {"id", "stamp"} <= columns:
            return {str(row): "" for row in range(self.count())}
        with self.client.transaction(), self.client.cursor("stamps") as found:  # row by row, not all at once
            found.execute(self._fill("SELECT id::text, stamp FROM {table}"))
            return {name: stamp or "" for name, stamp in found}

    def create(self, width: int) -> None:
        """See `rows.Database`."""
        self.client.execute("CREATE EXTENSION IF NOT EXISTS vector")
        self.client.execute(self._fill(
            "CREATE TABLE {table} (id uuid PRIMARY KEY, path text NOT NULL, sha256 text, class text, "
            f"stamp text NOT NULL, embedding vector({int(width)}) NOT NULL)"))

    def drop(self) -> None:
        """See `rows.Database`."""
        self.client.execute(self._fill("DROP TABLE {table}"))

    def write(self, batch: TableRows) -> None:
        """See `rows.Database`; copied beside the table first, which is many times faster than row by row."""
        columns = (*COLUMNS, "embedding")
        with self.client.transaction():
            self.client.execute(self._fill("CREATE TEMP TABLE arriving (LIKE {table}) ON COMMIT DROP"))
            names = ", ".join(("id", *columns))
            with self.client.cursor().copy(f"COPY arriving ({names}) FROM STDIN") as copy:
                for name, cells, vector in zip(batch.ids, batch.cells, batch.vectors):
                    numbers = ",".join(map(str, vector))  # as many digits as float32 needs
                    copy.write_row([name, *(cells[column] for column in COLUMNS), f"[{numbers}]"])
            changed = ", ".join(f"{column} = EXCLUDED.{column}" for column in columns)
            self.client.execute(self._fill(f"INSERT INTO {{table}} ({names}) SELECT {names} FROM arriving "
                                           f"ON CONFLICT (id) DO UPDATE SET {changed}"))

    def remove(self, ids: Sequence[str]) -> None:
        """See `rows.Database`."""
        self.client.execute(self._fill("DELETE FROM {table} WHERE id = ANY(%s::uuid[])"), [list(ids)])

    def count(self) -> int:
        """See `rows.Database`."""
        return int(self.client.execute(self._fill("SELECT count(*) FROM {table}")).fetchone()[0])

    def _fill(self, words: str) -> Any:
        """SQL with the table's name, which may name its schema too, in quotes where need be."""
        return self.sql.SQL(words).format(table=self.sql.Identifier(*self.name.split(".")))
