"""A desk at work: it takes a person's answers, writes them down, and sorts anew in the background after each."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from datasets.layouts.folders.names import same_spelling
from desk.album import Album
from desk.journal import ANSWERS, Deed, Journal, find_conflicts
from desk.landscape import Landscape, begin_landscape, choose_scale, explore
from desk.standing import Sorter, Standing
from engine.workflows.sort import Sight
from runtime.errors import DataError
from runtime.names.safe import is_encodable
from runtime.names.spelling import show_name

LONGEST = 200  # letters of a name


class Conflict(Exception):
    """Another tab has answered meanwhile; the message says what."""


@dataclass(frozen=True)
class Stage:
    """What the desk is doing before the first question: `done` of `total` pictures, at `rate` pictures a second."""

    text: str
    done: int = 0
    total: int = 0
    rate: float = 0.0


class Desk:
    """All that the pages of one folder share. Threads may call every method.

    `tick` grows with whatever a page would show; `standing` follows the journal by a moment.
    """

    def __init__(self, album: Album, journal: Journal, scale: int | None = None) -> None:
        self.album, self.journal, self.scale = album, journal, scale
        self.stage: Stage | None = Stage("looking at the photographs", 0, len(album))
        self.sorter: Sorter | None = None
        self.standing: Standing | None = None
        self.landscape: Landscape | None = None
        self.unreadable: list[str] = []
        self.seconds = 0.0  # that the last sorting took
        self.tick = 0
        self.lock = threading.RLock()
        self.asked = threading.Event()
        self.ended = threading.Event()
        self.searched = threading.Lock()  # one search for groups at a time
        self.concluding = threading.Lock()  # and one sorting, so that none ends after a later one
        self.seats = 0  # networks that have looked: with another one all names may be others, whatever the journal says

    def touch(self) -> None:
        """Let the pages know that something is new."""
        with self.lock:
            self.tick += 1

    def tell_stage(self, stage: Stage | None) -> None:
        """Say what is being prepared, None for nothing more."""
        self.stage = stage
        self.touch()

    def leave_out(self, bad: Mapping[str, str]) -> None:
        """Go on without photographs that cannot be read: keys and reasons."""
        self.album = self.album.without(bad)
        self.unreadable = list(bad.values())

    def seat(self, sight: Sight) -> None:
        """Take in what the network saw of the pictures, for the first time or by another network."""
        sorter = Sorter(self.album, sight.cloud)
        with self.lock:
            answers, version = dict(self.journal.answers), self.journal.number
        standing = sorter.conclude(answers, version, None)
        with self.lock:
            self.sorter, self.standing, self.landscape = sorter, standing, begin_landscape(sight.oddness)
            self.seats += 1
        self.tell_stage(None)
        self.asked.set()

    def explore(self, shrink: Callable[[], Tensor]) -> None:
        """Find out the rest of the landscape; pages see each bit as it comes."""
        with self.searched:
            sorter, known = self._seated()
            for landscape in explore(known, sorter.cloud, self.scale, shrink):
                with self.lock:
                    if self.sorter is not sorter:  # another network has taken over, and is explored next
                        return
                    self.landscape = landscape
                    self.tick += 1

    def choose_scale(self, scale: int) -> None:
        """Show so many groups from now on; raises DataError before the photographs were looked at."""
        with self.searched:
            sorter, known = self._seated()
            landscape = choose_scale(known, sorter.cloud, scale)
            with self.lock:
                self.scale = scale
                if self.sorter is sorter:  # else another network has taken over, and is explored with this scale
                    self.landscape = landscape
                self.tick += 1

    def _seated(self) -> tuple[Sorter, Landscape]:
        with self.lock:
            if self.sorter is None or self.landscape is None:
                raise DataError("the photographs are still being looked at; wait for the first question")
            return self.sorter, self.landscape

    def stand(self) -> Standing:
        """Where the sorting stands after every answer; raises DataError before the photographs were looked at."""
        self._seated()
        self.sort_once()
        assert self.standing is not None  # it is seated
        return self.standing

    def answer(self, deed: Deed, seen: int) -> Deed:
        """Write down what a person said of pictures; it is on the disk when this returns.

        Raises Conflict where another tab answered one of them after line `seen`, DataError for what makes no sense.
        """
        with self.lock:
            deed = self._check(deed)
            taken = find_conflicts(self.journal.answers, deed.pictures, seen, deed.tab)
            if taken and deed.do in ANSWERS:
                other = self.journal.answers[taken[0]]
                said = other.name or {"unknown": "an unknown kind"}.get(other.do, "no such object")
                which = "one of them" if len(deed.pictures) > 1 else "it"
                raise Conflict(f"another tab has just called {which} {said}; look again, and answer once more if you "
                               "still want to")
            return self._write(deed)

    def undo(self, deed: Deed, of: int) -> Deed:
        """Take back ("undo") or bring back ("redo") the last deed, which the tab thinks is that of line `of`.

        Raises Conflict when it is another tab's, and DataError when there is none.
        """
        with self.lock:
            pile = {"undo": self.journal.done, "redo": self.journal.undone}.get(deed.do)
            if not pile:
                raise DataError(f"there is nothing to {deed.do}")
            if pile[-1].number != of and pile[-1].tab != deed.tab:
                raise Conflict(f"another tab did something meanwhile: {pile[-1].describe()}; look again")
            return self._write(deed)

    def _write(self, deed: Deed) -> Deed:
        added = self.journal.add(deed)
        self.tick += 1
        self.asked.set()
        return added

    def _check(self, deed: Deed) -> Deed:
        """The deed with its name as it is spelled already; raises DataError for an empty one or unknown pictures."""
        if deed.do not in (*ANSWERS, "rename"):
            raise DataError(f"{deed.do} is no answer")
        name = " ".join(deed.name.split())
        if deed.do in ("name", "rename") and not 0 < len(name) <= LONGEST:
            raise DataError(f"a name has 1 to {LONGEST} letters")
        if not all(map(is_encodable, name)):
            raise DataError(f"{show_name(name)}: half a letter is no part of a name")
        strangers = [content for content in deed.pictures if content not in self.album.places]
        if strangers or (deed.do in ANSWERS and not deed.pictures):
            raise DataError(f"{len(strangers) or 'no'} pictures that are not in this folder")
        names = self.journal.names()
        if deed.do == "rename" and deed.old not in names:
            raise Conflict(f"nothing is called {deed.old} any more")
        others = [known for known in names if known != deed.old]  # what is renamed may change its own spelling
        name = next((known for known in others if same_spelling(known) == same_spelling(name)), name)  # Crow is crow
        return Deed(deed.do, deed.pictures, name, deed.old, deed.tab)

    def sort_forever(self, report: Callable[[BaseException], object]) -> None:
        """Sort anew whenever answers came in; several that come at once are one occasion. What fails is reported."""
        while not self.ended.is_set():
            self.asked.wait()
            self.asked.clear()
            try:
                self.sort_once()
            except Exception as error:
                report(error)

    def end(self) -> None:
        """Let `sort_forever` come to its end."""
        self.ended.set()
        self.asked.set()

    def sort_once(self) -> None:
        """Bring the standing up to the journal."""
        with self.concluding:
            with self.lock:
                sorter, before = self.sorter, self.standing
                answers, version = dict(self.journal.answers), self.journal.number
            if sorter is None or (before is not None and before.version == version):
                return
            start = time.perf_counter()
            standing = sorter.conclude(answers, version, before)
            with self.lock:
                if self.sorter is sorter:  # else another network has taken over meanwhile
                    self.standing, self.seconds = standing, time.perf_counter() - start
                    self.tick += 1


def import_names(desk: Desk, names: dict[int, str]) -> int:
    """Answer with the names of a table, by place, leaving out those that hold already; how many pictures are new."""
    by_name: dict[str, list[str]] = {}
    for index, name in names.items():
        content = desk.album.contents[index]
        known = desk.journal.answers.get(content)
        if known is None or known.name != name:
            by_name.setdefault(name, []).append(content)
    for name, contents in by_name.items():
        desk.answer(Deed("name", tuple(dict.fromkeys(contents)), name, tab="table"), sys.maxsize)
    return sum(map(len, by_name.values()))
