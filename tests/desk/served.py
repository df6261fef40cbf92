"""The page as another program meets it: served by a process of its own, or within this one, and questions to it."""

from __future__ import annotations

import json
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from desk.web.app import make_app
from desk.web.door import listen, make_server, name_address
from desk.web.serve import open_workplace
from tools import sort

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--pretrained", "none", "-a", "resnet18", "--size", "32", "--device", "cpu", "--num-workers", "0", "--threads", "1",
         "--cache", "cache", "--open", "false")
Json = dict[str, Any]


class Questions:
    """What is asked of a server at `address`, http://`host`/`token`/."""

    address: str
    host: str
    token: str

    def get(self, path: str, **headers: str) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(self.address + path, headers=headers), timeout=60) as answer:
            return answer.read()

    def ask(self, name: str, /, **question: object) -> Json:
        body = json.dumps(question).encode()
        request = urllib.request.Request(f"{self.address}api/{name}", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.msg = error.fp.read().decode()
            raise

    def state(self) -> Json:
        return json.loads(self.get("api/state"))

    def wait(self, holds: Callable[[Json], object]) -> Json:
        """The state once it holds."""
        for _ in range(600):
            if holds(state := self.state()):
                return state
            time.sleep(0.05)
        raise AssertionError(state)

    def follow(self) -> Json:
        """The state once the sorting has caught up with every answer."""
        return self.wait(lambda state: state.get("sorted") and state["sorted"]["version"] == state["version"])

    def captions(self) -> Json:
        return json.loads(self.get("api/captions"))

    def name(self, files: dict[str, str], tab: str = "one") -> None:
        """Name pictures by their file."""
        captions = self.captions()
        for file, name in files.items():
            self.ask("answer", do="name", pictures=[captions["contents"][captions["files"].index(file)]], name=name, tab=tab,
                     seen=self.state()["version"])

    def columns(self) -> dict[str, tuple[int, ...]]:
        content = self.get("api/columns")
        head, _, _ = content.partition(b"\n")
        at, columns = len(head) + 1, {}
        for name, (kind, count) in json.loads(head)["arrays"].items():
            letter = {"<i2": "h", "|u1": "B"}[kind]
            columns[name] = struct.unpack_from(f"<{count}{letter}", content, at)
            at += -(-count * struct.calcsize(letter) // 8) * 8
        return columns | {"names": json.loads(head)["names"]}


class InThread(Questions):
    """An application served by a thread of this process, at once."""

    def begin(self, app: ASGIApp, token: str) -> None:
        self.token, door = token, listen(0)
        self.host = f"127.0.0.1:{door.getsockname()[1]}"
        self.address = name_address(door, token)
        self.server = make_server(app)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [door]}, daemon=True)
        self.thread.start()

    def end(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)


class Hosted(InThread):
    """The page of tools.sort, without a process of its own: what the command does without its start."""

    def __init__(self, here: Path, *words: object) -> None:
        options = sort.parse([*find_paths(here, words), *QUICK, "--out", str(here / "state"), "--cache", str(here / "cache")])
        options.place.mkdir(exist_ok=True)
        self.place = open_workplace(options)
        self.begin(make_app(self.place, "hosted"), "hosted")
        self.place.is_ending = lambda: self.server.should_exit
        self.place.open()

    def stop(self) -> None:
        """End it, and see that nothing failed in the background."""
        self.end()
        assert self.place.close() and self.place.failed is None


def find_paths(here: Path, words: Iterable[object]) -> list[str]:
    """Words of a command, those that are paths below `here` in full."""
    return [str(here / word) if isinstance(word, str) and (here / word).exists() else str(word) for word in words]


class Served(Questions):
    """A command that serves a folder, started as a user would, and questions to it."""

    def __init__(self, here: Path, *words: object) -> None:
        self.log = open(here / "server.log", "a+b")  # noqa: SIM115 - closed by stop()
        self.process = subprocess.Popen([sys.executable, str(ROOT / "tools" / "sort.py"), *map(str, words), *QUICK], cwd=here,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if found := re.search(r"http://(127\.0\.0\.1:\d+)/([\w-]+)/", line):
                break
        else:
            self.log.seek(0)
            pytest.fail(f"it did not start: {said}{self.log.read().decode()}")
        self.address, self.host, self.token = found[0], found[1], found[2]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(30)
        self.log.close()
        return code
