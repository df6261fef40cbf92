"""A table of LanceDB: a folder on a disk, or what its own client takes as an address."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from evaluation.collections.rows import COLUMNS, TableRows

ASKED = 1000  # ids named in one condition
TAKEN = "datasets"  # the name that ours has where it runs from its folder, and Hugging Face's everywhere else


@contextmanager
def hide_own_datasets() -> Iterator[None]:
    """Without our `datasets` among the loaded modules: LanceDB would take it for Hugging Face's."""
    own = sys.modules.pop(TAKEN, None)
    try:
        yield
    finally:
        if own is not None:
            sys.modules[TAKEN] = own


class LanceTable:
    """`name` at `url`; columns id, path, sha256, class, stamp, vector."""

    def __init__(self, url: str, name: str) -> None:
        with hide_own_datasets():
            import lancedb

        self.base: Any = lancedb.connect(url)
        self.name = name
        self.table: Any = None
        with suppress(ValueError, FileNotFoundError):  # there is none
            self.table = self.base.open_table(name)

    def read_stamps(self) -> dict[str, str] | None:
        """See `rows.Database`."""
        if self.table is None:
            return None
        if not {"id", "stamp"} <= set(self.table.schema.names):
            return {str(row): "" for row in range(self.count())}
        query = self.table.search().select(["id", "stamp"]).limit(max(self.count(), 1))
        found = query.to_arrow()
        return dict(zip(found["id"].to_pylist(), found["stamp"].to_pylist()))

    def create(self, width: int) -> None:
        """See `rows.Database`."""
        import pyarrow

        text = [pyarrow.field(name, pyarrow.string()) for name in ("id", *COLUMNS)]
        vector = pyarrow.field("vector", pyarrow.list_(pyarrow.float32(), width))
        self.table = self.base.create_table(self.name, schema=pyarrow.schema([*text, vector]))

    def drop(self) -> None:
        """See `rows.Database`."""
        self.base.drop_table(self.name)
        self.table = None

    def write(self, batch: TableRows) -> None:
        """See `rows.Database`."""
        import pyarrow

        vectors = pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(batch.vectors.reshape(-1)), batch.vectors.shape[1])
        rows = pyarrow.table({
            "id": batch.ids, **{name: pyarrow.array(batch.column(name), pyarrow.string()) for name in COLUMNS},
            "vector": vectors})
        self.table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def remove(self, ids: Sequence[str]) -> None:
        """See `rows.Database`."""
        for start in range(0, len(ids), ASKED):
            named = ", ".join(f"'{one}'" for one in ids[start : start + ASKED])
            self.table.delete(f"id IN ({named})")

    def count(self) -> int:
        """See `rows.Database`."""
        return int(self.table.count_rows())
