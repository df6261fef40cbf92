"""Search pages over the photographs of tests/desk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.desk.search.hosted import HostedSearch


@pytest.fixture
def search_page(tmp_path: Path, photographs: Path) -> Iterator[Callable[..., HostedSearch]]:
    """search_page(*words): a page over tmp_path/photographs."""
    running: list[HostedSearch] = []

    def start(*words: object, folder: str = "photographs") -> HostedSearch:
        running.append(HostedSearch(tmp_path, folder, *words))
        return running[-1]

    yield start
    for page in running:
        page.end()
