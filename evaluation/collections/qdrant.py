"""A collection of Qdrant: of a server, or of its client's local mode in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluation.collections.rows import TableRows

SENT = 1000  # points in one request: 512 numbers each are about 10 MB of JSON
SCROLLED = 10_000  # points whose stamps one request asks for


class QdrantTable:
    """`name` at `url`, which is an address (http://...) or a folder; path, sha256, class and stamp are the payload."""

    def __init__(self, url: str, name: str) -> None:
        from qdrant_client import QdrantClient

        self.client: Any = QdrantClient(url=url) if "://" in url else QdrantClient(path=url)
        self.name = name

    def read_stamps(self) -> dict[str, str] | None:
        """See `rows.Database`."""
        if not self.client.collection_exists(self.name):
            return None
        found: dict[str, str] = {}
        offset = None
        while True:
            points, offset = self.client.scroll(self.name, limit=SCROLLED, offset=offset, with_payload=["stamp"],
                                                with_vectors=False)
            found |= {str(point.id): (point.payload or {}).get("stamp", "") for point in points}
            if offset is None:
                return found

    def create(self, width: int) -> None:
        """See `rows.Database`."""
        from qdrant_client import models

        self.client.create_collection(
            self.name, vectors_config=models.VectorParams(size=width, distance=models.Distance.COSINE))

    def drop(self) -> None:
        """See `rows.Database`."""
        self.client.delete_collection(self.name)

    def write(self, batch: TableRows) -> None:
        """See `rows.Database`."""
        from qdrant_client import models

        for start in range(0, len(batch.ids), SENT):
            part = slice(start, start + SENT)
            self.client.upsert(self.name, points=models.Batch(
                ids=[*batch.ids[part]], vectors=batch.vectors[part].tolist(), payloads=batch.cells[part]), wait=True)

    def remove(self, ids: Sequence[str]) -> None:
        """See `rows.Database`."""
        from qdrant_client import models

        for start in range(0, len(ids), SCROLLED):
            self.client.delete(self.name, points_selector=models.PointIdsList(
                points=list(ids[start : start + SCROLLED])), wait=True)

    def count(self) -> int:
        """See `rows.Database`."""
        return int(self.client.count(self.name, exact=True).count)
