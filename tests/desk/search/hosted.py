"""A search page served within this process, and questions to it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from desk.search.app import SearchPage, make_search_app
from desk.search.searcher import open_searcher
from tests.desk.served import QUICK, InThread, Json, find_paths
from tools import search


class HostedSearch(InThread):
    """The page of tools.search --serve over a folder below `here`."""

    def __init__(self, here: Path, *words: object) -> None:
        options = search.parse([*find_paths(here, words), "--serve", *QUICK, "--cache", str(here / "cache")])
        self.searcher = open_searcher(options)
        self.page = SearchPage(self.searcher)
        self.begin(make_search_app(self.page, "hosted"), "hosted")

    def find(self, **values: object) -> Json:
        return json.loads(self.get(f"api/search?{urlencode(values)}"))

    def files(self, **values: object) -> list[str]:
        return [row[1] for row in self.find(**values)["rows"]]

    def place_of(self, file: str) -> int:
        return next(number for number, sample in enumerate(self.searcher.images.samples) if sample.key == file)

    def send(self, content: bytes, name: str = "mine.jpg", kind: str = "application/octet-stream") -> Json:
        request = urllib.request.Request(f"{self.address}api/upload?{urlencode({'name': name})}", content, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.msg = error.fp.read().decode()
            raise
