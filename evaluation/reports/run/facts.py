"""report.json: what a command knows of its run and no other file of its folder, so that the page can be renewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from runtime.errors import DataError
from runtime.files import INDENTED, write_bytes
from runtime.side_files import read_json

FACTS = "report.json"
PAIRS = [[str]]
SHAPE = {"headline": str, "state": str, "about": PAIRS, "data": PAIRS, "flags": PAIRS, "resume": str, "onward": PAIRS,
         "terms": [str], "shares": [str], "epochs": int, "rates": [float], "crops": str, "memory": PAIRS,
         "charts": {str: {str: [float]}}}


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run in words and numbers, in plain JSON types.

    `about`, `data` and `memory` are pairs of a name and what is said of it; `flags` are (flag, value, default, who set
    it); `onward` are (what for, command); `rates` the learning rate at the start of each epoch; `crops` the folder of
    boxes.png or ""; `charts` what no log keeps: by title, lines by name over epochs. `epochs` 0 means no training.
    """

    headline: str
    state: str
    about: Sequence[Sequence[str]]
    data: Sequence[Sequence[str]] = ()
    flags: Sequence[Sequence[str]] = ()
    resume: str = ""
    onward: Sequence[Sequence[str]] = ()
    terms: Sequence[str] = ()
    shares: Sequence[str] = ()
    epochs: int = 0
    rates: Sequence[float] = ()
    crops: str = ""
    memory: Sequence[Sequence[str]] = ()
    charts: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)


def save_facts(folder: Path, facts: RunFacts) -> None:
    """Keep them in a folder; a kill leaves those that were there before."""
    text = f"{INDENTED.encode(asdict(facts))}\n"
    write_bytes(folder / FACTS, text.encode("utf-8", "backslashreplace"), sync=False)


def load_facts(folder: Path) -> RunFacts:
    """Those that a folder keeps; raises DataError for a file of another content."""
    found: dict[str, Any] = read_json(folder / FACTS, SHAPE, remedy="delete it; a page can do without", error=DataError)
    return RunFacts(**{one.name: found[one.name] for one in fields(RunFacts)})
