"""neighbours.json: what is nearest to some images, before and after training, with small pictures, for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.errors import DataError
from runtime.files import INDENTED, write_bytes
from runtime.side_files import read_json

NEIGHBOURS = "neighbours.json"
THUMB = {"file": str, "name": str, "right": (bool, None)}
SHAPE = {"looks": [[str]], "pictures": {str: str},
         "queries": [{"mark": str, "why": str, "asked": THUMB, "found": [[THUMB]]}]}


@dataclass(frozen=True)
class Thumb:
    """A picture: its file (a key of `pictures`), its class, and whether that is the query's, None where unknown."""

    file: str
    name: str
    right: bool | None


@dataclass(frozen=True)
class Asked:
    """A query, why it is among those shown, and what each look found, nearest first."""

    mark: str
    why: str
    asked: Thumb
    found: Sequence[Sequence[Thumb]]


@dataclass(frozen=True)
class Neighbourhood:
    """Queries and what is nearest to them; `looks` are (when, which network), `pictures` data URIs by file."""

    looks: Sequence[Sequence[str]]
    queries: Sequence[Asked]
    pictures: Mapping[str, str]


def save_neighbourhood(folder: Path, found: Neighbourhood) -> None:
    """Keep it in a folder of results."""
    write_bytes(folder / NEIGHBOURS, f"{INDENTED.encode(asdict(found))}\n".encode("utf-8", "backslashreplace"))


def load_neighbourhood(folder: Path) -> Neighbourhood | None:
    """The newest in a folder or the folders in it, None without one; raises DataError for a file of another content."""
    places = [*folder.glob(NEIGHBOURS), *folder.glob(f"*/{NEIGHBOURS}")]
    if not places:
        return None
    newest = max(places, key=lambda path: path.stat().st_mtime_ns)
    told = read_json(newest, SHAPE, remedy="delete it, and search again", error=DataError)
    queries = [Asked(one["mark"], one["why"], _read_thumb(one["asked"]),
                     [[_read_thumb(thumb) for thumb in row] for row in one["found"]]) for one in told["queries"]]
    return Neighbourhood(told["looks"], queries, told["pictures"])


def _read_thumb(told: Mapping[str, object]) -> Thumb:
    right = told["right"]
    assert right is None or isinstance(right, bool)  # of that shape
    return Thumb(str(told["file"]), str(told["name"]), right)
