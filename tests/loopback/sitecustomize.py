"""No test talks to another machine: Python imports this file by itself wherever PYTHONPATH names its folder.

tests/conftest.py installs the ban in pytest's own process and names the folder for every process that a test starts.
An attempt raises RuntimeError where it is made, and leaves a line in the file that PLUMAGE_NETWORK_LOG names, since
libraries swallow errors: the test that made it fails anyhow. Sockets of other languages (gloo's) are not seen.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

LOG = "PLUMAGE_NETWORK_LOG"
ROOT = Path(__file__).resolve().parents[2]
HOME = {"", "localhost", "ip6-localhost", "0.0.0.0", "::", "::1", os.uname().nodename if hasattr(os, "uname") else ""}


def forbid_network(log: str) -> None:
    """From now on, for good, this process and its forks reach sockets of this machine alone."""

    def watch(event: str, given: tuple[object, ...]) -> None:
        if not event.startswith("socket."):
            return
        host = find_host(event, given)
        if not is_home(host):
            words = f"{event.removeprefix('socket.')} {host} by {find_caller()}"
            with open(log, "a", encoding="utf-8") as file:
                file.write(words + "\n")
            raise RuntimeError(f"tests must not use the network: {words}")

    sys.addaudithook(watch)


def find_host(event: str, given: tuple[object, ...]) -> object:
    """The host that a socket call is about; None where it is about none (or about a file, as AF_UNIX is)."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = given[1]
        return address[0] if isinstance(address, tuple) and address and isinstance(address[0], str) else None
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        return given[0]
    return None


def is_home(host: object) -> bool:
    """Whether it is this machine, by the loopback device or by its own name."""
    name = host.decode(errors="replace") if isinstance(host, bytes) else host
    return name is None or name in HOME or str(name).startswith(("127.", "::ffff:127."))


def find_caller() -> str:
    """The innermost line of the project that led here; else the process."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and path != Path(__file__) and "site-packages" not in path.parts:
            return f"{path.relative_to(ROOT)}:{frame.lineno}"
    return " ".join(sys.orig_argv)


if os.environ.get(LOG) and __name__ == "sitecustomize":
    forbid_network(os.environ[LOG])
