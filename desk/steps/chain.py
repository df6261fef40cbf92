"""What follows a sorting: commands of this project that run beside the page, are watched by it, and can be stopped.

A step is a chain of commands whose output goes to a file. Progress is read from the bars that the commands draw, so
that the page shows what a terminal would. A command that was stopped, or killed with the server, goes on from its
checkpoint when the step is started again.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
TAIL = 8192  # bytes of a log that are looked at
BAR = re.compile(r"(?P<what>[^\r\n|]*?):? +(?P<percent>\d+)%\|[^|]*\| *\S+ \[[\d:]+<(?P<left>[\d:?]+)")
EPOCH = re.compile(r"epoch (\d+)/(\d+)")


@dataclass(frozen=True)
class Link:
    """One command of a chain: what it is for, and its words after the interpreter."""

    title: str
    words: tuple[str, ...]


@dataclass
class Chain:
    """A step at work, or at its end. `state`: running, done, failed or stopped; `at`: the link it is at.

    `since`: bytes of the log that earlier links wrote.
    """

    links: Sequence[Link]
    log: Path
    state: str = "running"
    at: int = 0
    since: int = 0
    error: str = ""
    began: float = field(default_factory=time.monotonic)
    process: subprocess.Popen[bytes] | None = None


    def is_ending(self) -> bool:
        """Whether a command that was stopped is still at work."""
        return self.process is not None and self.process.poll() is None


@dataclass(frozen=True)
class Bar:
    """The last bar in a log: what it counts, how far it is in [0, 1], and the time left as it says."""

    what: str
    share: float
    left: str


def read_bar(text: str) -> Bar | None:
    """The last bar of a log; one of an epoch counts within all epochs."""
    found = list(BAR.finditer(text))
    if not found:
        return None
    what, share = found[-1]["what"].strip(), int(found[-1]["percent"]) / 100
    if epoch := EPOCH.search(what):
        share = (int(epoch[1]) - 1 + share) / int(epoch[2])
    return Bar(what, share, "" if "?" in found[-1]["left"] else found[-1]["left"])


def read_tail(log: Path, since: int = 0) -> str:
    """The end of a log, after its first `since` bytes; nothing where there is none yet."""
    try:
        with open(log, "rb") as file:
            file.seek(max(file.seek(0, 2) - TAIL, since))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


class Steps:
    """The steps of a desk by name, one running at a time: two would starve each other."""

    def __init__(self, folder: Path, touch: Callable[[], object]) -> None:
        self.folder, self.touch = folder, touch
        self.runs: dict[str, Chain] = {}
        self.lock = threading.Lock()

    def place(self, name: str) -> Path:
        """The folder of a step."""
        return self.folder / name

    def start(self, name: str, links: Sequence[Link], after: Callable[[], object]) -> None:
        """Begin a step, and call `after` when all its links succeeded; raises DataError while one is at work."""
        with self.lock:
            if busy := [other for other, run in self.runs.items() if run.state == "running"]:
                raise DataError(f"{busy[0]} is at work; wait for it, or stop it")
            if ending := [other for other, run in self.runs.items() if run.is_ending()]:
                raise DataError(f"{ending[0]} is still saving what it learnt; wait a moment")
            self.place(name).mkdir(parents=True, exist_ok=True)
            run = self.runs[name] = Chain(links, self.place(name) / "log.txt")
        threading.Thread(target=self._work, args=(run, after), daemon=True).start()

    def stop(self, name: str) -> None:
        """Interrupt a step as Ctrl-C would: what it has saved stays."""
        with self.lock:
            run = self.runs.get(name)
            if run is None or run.state != "running":
                raise DataError(f"{name} is not at work")
            run.state = "stopped"
            if run.process is not None:
                run.process.terminate()
        self.touch()

    def stop_all(self) -> None:
        """Interrupt whatever runs: the server ends."""
        for name, run in self.runs.items():
            if run.state == "running":
                self.stop(name)

    def _work(self, run: Chain, after: Callable[[], object]) -> None:
        """Do a step's links one after another."""
        try:
            for at, link in enumerate(run.links):
                run.at = at
                self._do(run, link)
                if run.state != "running":
                    return
            run.at = len(run.links)
            after()
            run.state = "done"
        except Exception as error:
            run.state, run.error = "failed", str(error) or type(error).__name__
        finally:
            self.touch()

    def _do(self, run: Chain, link: Link) -> None:
        """Chain one command to its end; its last message is the error where it fails."""
        with open(run.log, "ab" if run.at else "wb") as log:
            with self.lock:
                if run.state != "running":
                    return
                run.since = log.tell()
                run.process = subprocess.Popen([sys.executable, *link.words], cwd=ROOT, stdin=subprocess.DEVNULL,
                                               stdout=log, stderr=subprocess.STDOUT)
            while run.process.poll() is None:
                time.sleep(1)
                self.touch()
        if run.process.returncode and run.state == "running":
            said = re.split(r"[\r\n]+", read_tail(run.log).strip())
            raise DataError(next((line for line in reversed(said) if line.startswith("error:")), said[-1]))

    def describe(self) -> dict[str, dict[str, object]]:
        """What the page shows of every step that was started or has a result."""
        return {name: self._describe(run) for name, run in self.runs.items()}

    def _describe(self, run: Chain) -> dict[str, object]:
        told: dict[str, object] = {"state": run.state, "error": run.error, "of": len(run.links), "at": run.at}
        if run.state == "running":
            bar = read_bar(read_tail(run.log, run.since))
            share = (run.at + (bar.share if bar else 0)) / (len(run.links) + 1)  # the result is the last piece
            title = run.links[run.at].title if run.at < len(run.links) else "measuring what came out"
            told |= {"title": title, "share": round(share, 3), "bar": bar.what if bar else "",
                     "left": bar.left if bar else "", "seconds": round(time.monotonic() - run.began)}
        return told

    def find_file(self, name: str, file: str) -> Path | None:
        """A file that lies in a step's folder, None for any other."""
        root = self.place(name).resolve()
        path = (root / file).resolve()
        return path if path.is_relative_to(root) and root.parent == self.folder.resolve() and path.is_file() else None
