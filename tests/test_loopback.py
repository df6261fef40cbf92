"""The ban on other machines bites here and in every process that a test starts; this machine stays reachable."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

# TEST-NET-1 (RFC 5737) belongs to nobody: without the ban, too, nothing would answer.
STRANGER = "192.0.2.1"


def connect(host: str) -> None:
    """A connection that nobody waits for."""
    with socket.socket() as line:
        line.settimeout(0.2)
        line.connect((host, 9))


def test_no_other_machine_is_reached_from_this_process(network) -> None:
    with pytest.raises(RuntimeError, match="must not use the network"):
        connect(STRANGER)
    with pytest.raises(RuntimeError, match="getaddrinfo example.org by tests/test_loopback.py:"):
        socket.create_connection(("example.org", 443))
    for ask in (socket.gethostbyname, socket.gethostbyaddr):
        with pytest.raises(RuntimeError):
            ask("example.org")
    with socket.socket(type=socket.SOCK_DGRAM) as letter, pytest.raises(RuntimeError):
        letter.sendto(b"x", (STRANGER, 9))
    assert [line.split()[0] for line in network.take()] == [
        "connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto"]


def test_an_attempt_counts_although_it_is_swallowed(network) -> None:
    with suppress(RuntimeError):
        connect(STRANGER)
    assert len(network.take()) == 1


@pytest.mark.parametrize("ask", [
    "import socket; socket.create_connection(('example.org', 443))",
    "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=0.2)",
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import socket; socket.gethostbyname(\"a.example\")'])"])
def test_no_other_machine_is_reached_from_a_process_that_a_test_starts(network, ask: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert "tests must not use the network" in done.stderr and len(network.take()) == 1


def test_forked_processes_are_watched_too(network) -> None:
    child = multiprocessing.get_context("fork").Process(target=connect, args=(STRANGER,))
    child.start()
    child.join(30)
    assert child.exitcode and len(network.take()) == 1


def test_this_machine_stays_reachable(network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("localhost", "127.0.0.1"):
            socket.create_connection((host, server.getsockname()[1]), timeout=5).close()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        monkeypatch.chdir(tmp_path)  # such names are short
        server.bind("here")
        server.listen()
        client.connect("here")
    socket.getaddrinfo(None, 0)
    assert network.take() == []
