"""One command a results folder: the second is told who is there, and a kill gives the folder back at once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import ConfigError
from runtime.folders import locks
from runtime.folders.locks import NAME, hold_folder

ROOT = Path(__file__).parents[3]
HOLD = ("import os, sys, time; from pathlib import Path; from runtime.folders.locks import hold_folder\n"
        "with hold_folder(Path(sys.argv[1])):\n"
        "    child = os.fork()\n"  # a worker that outlives its parent does not hold the folder
        "    if child: print('held', child, flush=True)\n"
        "    time.sleep(60)")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    word, child = process.stdout.readline().split()
    assert word == "held"
    yield process
    process.kill()
    process.wait()
    os.kill(int(child), 9)


def test_a_held_folder_is_refused_and_taken_over_after_a_kill(
    tmp_path: Path, holder: subprocess.Popen, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path)
    for folder in (tmp_path, link):
        held = rf"process {holder.pid} on {socket.gethostname()}.*choose another"
        with pytest.raises(ConfigError, match=held), hold_folder(folder):
            pass
    holder.kill()
    holder.wait()
    with hold_folder(tmp_path):
        assert f"process {holder.pid}" in (said := capsys.readouterr().err) and "taken over" in said
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
        with hold_folder(link):  # the same process may come again
            pass
        assert (tmp_path / NAME).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_folder(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with hold_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "result").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["result"]


def write_note(folder: Path, pid: int, host: str) -> None:
    (folder / NAME).write_text(json.dumps({"pid": pid, "host": host, "command": "main_pretrain.py"}))


@pytest.mark.parametrize(("pid", "host", "shared", "held"), [
    (2**22 + 1, socket.gethostname(), True, False), (os.getppid(), socket.gethostname(), True, True),
    (os.getppid(), socket.gethostname(), False, False), (7, "elsewhere", False, False), (7, "elsewhere", True, True)])
def test_where_locks_may_not_be_seen_the_note_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: int, host: str, shared: bool, held: bool
) -> None:
    write_note(tmp_path, pid, host)
    monkeypatch.setattr(locks, "is_shared", lambda path: shared)
    if held:
        with pytest.raises(ConfigError, match=f"process {pid} on {host}"), hold_folder(tmp_path):
            pass
        assert json.loads((tmp_path / NAME).read_text())["pid"] == pid
    else:
        with hold_folder(tmp_path):
            assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_a_user_s_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("flake lock of another program")
    with pytest.raises(ConfigError, match="no lock that Plumage wrote"), hold_folder(tmp_path):
        pass
    assert (tmp_path / NAME).read_text() == "flake lock of another program"


@pytest.mark.parametrize("note", ["{}", "[]", "0", "false", '{"pid": 1}', "\0\0\0"])
def test_a_lock_that_says_nothing_is_no_lock_of_ours(tmp_path: Path, note: str) -> None:
    (tmp_path / NAME).write_text(note)
    with pytest.raises(ConfigError, match="move it away"), hold_folder(tmp_path):
        pass
