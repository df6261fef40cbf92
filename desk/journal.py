"""The journal of a desk: everything that a person did, a line each, on the disk before anybody is told that it is done.

Lines are added and never changed. What holds now follows from reading them from the first one: `undo` takes back the
last deed that was not taken back, `redo` brings it back. Pictures are named by their content (sha256), so that files
may move, and so that copies share an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from runtime.errors import DataError
from runtime.files import write_text
from runtime.lines import append_line
from runtime.side_files import find_shape_faults

ANSWERS = ("name", "unknown", "unusable", "clear")  # of these pictures
DEEDS = (*ANSWERS, "rename", "undo", "redo")
LINE = {"do": str, "pictures?": [str], "name?": str, "old?": str, "tab?": str, "at?": str}


@dataclass(frozen=True)
class Deed:
    """One thing that a person did: a line of the journal.

    do: "name" calls `pictures` `name`; "unknown" says they are of a kind that has no name yet, "unusable" that they
    show nothing to name; "clear" takes their answers away. "rename" calls everything `name` that was called `old`.
    tab: which page said so. at: when, in UTC. number: of its line, from 1.
    """

    do: str
    pictures: tuple[str, ...] = ()
    name: str = ""
    old: str = ""
    tab: str = ""
    at: str = ""
    number: int = 0

    def describe(self) -> str:
        """For people: "named 3 pictures crow"."""
        count = "a picture" if len(self.pictures) == 1 else f"{len(self.pictures)} pictures"
        return {"name": f"{count} named {self.name}", "unknown": f"{count} marked as an unknown kind",
                "unusable": f"{count} marked as showing no such object", "clear": f"the answer of {count} cleared",
                "rename": f"{self.old} renamed to {self.name}"}.get(self.do, self.do)


@dataclass(frozen=True)
class Answer:
    """What holds of a picture: `do` is "name" (`name`), "unknown" or "unusable"; said in line `number`, by `tab`."""

    do: str
    name: str
    number: int
    tab: str


class Journal:
    """The lines of a file, and what holds after them: `answers` by content, the deeds `done`, and those `undone`."""

    def __init__(self, path: Path) -> None:
        """Read a journal, or begin one; a last line that a kill cut off was never confirmed, and is passed over."""
        self.path = path
        self.number = 0
        self.done: list[Deed] = []
        self.undone: list[Deed] = []
        self.answers: dict[str, Answer] = {}
        if not path.exists():
            write_text(path, "")  # it shows what the folder is
        for line in read_deeds(path):
            self._follow(line)
        self.answers = read_answers(self.done)

    def add(self, deed: Deed) -> Deed:
        """Write a deed to the disk, then let it hold; returns it numbered. Raises StopTraining on a full disk."""
        stamped = replace(deed, at=datetime.now(timezone.utc).isoformat(timespec="seconds"))
        kept = {name: value for name, value in asdict(stamped).items() if value and name != "number"}
        append_line(self.path, json.dumps(kept))
        added = self._follow(stamped)
        if deed.do in ("undo", "redo"):
            self.answers = read_answers(self.done)
        else:
            take(self.answers, added)
        return added

    def _follow(self, deed: Deed) -> Deed:
        """Number a deed, and move it, or what it takes back, to its place."""
        self.number += 1
        numbered = replace(deed, number=self.number)
        source, target = {"undo": (self.done, self.undone), "redo": (self.undone, self.done)}.get(deed.do, ([], []))
        if source:
            moved = source.pop()  # what comes back was said again, now, by this tab
            target.append(replace(moved, number=self.number, tab=deed.tab) if deed.do == "redo" else moved)
        elif deed.do not in ("undo", "redo"):
            self.done.append(numbered)
            self.undone.clear()
        return numbered

    def names(self) -> list[str]:
        """The names in use, in the order of the alphabet."""
        return sorted({answer.name for answer in self.answers.values() if answer.do == "name"})


def read_deeds(path: Path) -> list[Deed]:
    """The deeds of a journal; raises DataError for a line, other than a cut one, that is none."""
    deeds = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line:
            continue
        try:
            found = json.loads(line)
        except ValueError:  # a kill cut it off before it was confirmed
            continue
        faults = list(find_shape_faults(found, LINE)) or (["do"] if found["do"] not in DEEDS else [])
        if faults:
            raise DataError(f"{path}, line {number}: not what a desk wrote ({faults[0]}); move the file away, or put "
                            "back the one that was there")
        deeds.append(Deed(**{**found, "pictures": tuple(found.get("pictures", ()))}))
    return deeds


def read_answers(deeds: Iterable[Deed]) -> dict[str, Answer]:
    """What holds after some deeds, by the pictures' content."""
    answers: dict[str, Answer] = {}
    for deed in deeds:
        take(answers, deed)
    return answers


def take(answers: dict[str, Answer], deed: Deed) -> None:
    """Let one more deed hold."""
    if deed.do == "rename":
        changed = {picture: replace(answer, name=deed.name, number=deed.number, tab=deed.tab)
                   for picture, answer in answers.items() if answer.do == "name" and answer.name == deed.old}
        answers.update(changed)
    for picture in deed.pictures:
        if deed.do == "clear":
            answers.pop(picture, None)
        else:
            answers[picture] = Answer(deed.do, deed.name, deed.number, deed.tab)


def find_conflicts(
    answers: Mapping[str, Answer], pictures: Iterable[str], seen: int, tab: str
) -> list[str]:
    """Of some pictures, those that another tab answered after line `seen`, the last that this tab knew of."""
    return [picture for picture in pictures
            if (answer := answers.get(picture)) and answer.number > seen and answer.tab != tab]
