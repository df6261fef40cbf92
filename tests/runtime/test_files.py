"""The atomic writer and the checked append: whole or not at all, whatever fails and whoever else writes."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runtime import files
from runtime.errors import StopTraining
from runtime.files import write_atomically, write_cells, write_json, write_text
from runtime.lines import append_line

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "full"), RuntimeError("torch: full"), KeyboardInterrupt()])
def test_whatever_stops_the_writer_the_old_file_stays_and_no_draft(tmp_path: Path, fault: BaseException) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(draft: Path) -> None:
        draft.write_text("half")
        raise fault

    with pytest.raises(StopTraining if isinstance(fault, Exception) else KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_text() == "old" and names(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_fault_at_any_step_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StopTraining, match="broken disk"):
        write_text(path, "new")
    assert path.read_text() == "old" and names(tmp_path) == ["file.txt"]


def test_drafts_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    """A process that is killed while it writes leaves a draft, which the next process clears; a living one's stays."""
    code = ("import os, sys, time; from pathlib import Path; from runtime.files import write_atomically\n"
            "def slow(draft):\n    draft.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
            "write_atomically(Path(sys.argv[1]), slow)")
    path = tmp_path / "file.txt"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    files.CLEARED.clear()
    write_text(path, "ours")
    assert len(names(tmp_path)) == 2, "a living process's draft is not ours to remove"
    process.kill()
    process.wait()
    files.CLEARED.clear()
    write_text(path, "ours again")
    assert names(tmp_path) == ["file.txt"] and path.read_text() == "ours again"


def test_a_draft_that_another_writer_is_clearing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one locks it between its making and our lock, and removes it a moment later."""
    threads: list[threading.Thread] = []
    real = files.fcntl.flock

    def clear(handle: int, draft: Path) -> None:
        time.sleep(0.2)
        draft.unlink()
        os.close(handle)

    def lock(handle: int, how: int) -> None:
        if not threads and how & files.fcntl.LOCK_EX:
            (draft,) = (path for path in tmp_path.iterdir() if files.DRAFT.fullmatch(path.name))
            other = os.open(draft, os.O_RDWR)
            real(other, files.fcntl.LOCK_EX)
            threads.append(threading.Thread(target=clear, args=(other, draft)))
            threads[0].start()
        real(handle, how)

    def write(draft: Path) -> None:
        draft.write_text("new")
        threads[0].join()

    monkeypatch.setattr(files.fcntl, "flock", lock)
    write_atomically(tmp_path / "file.txt", write)
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"] and (tmp_path / "file.txt").read_text() == "new"


def test_links_are_followed_and_rights_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink() and real.read_text() == "new" and real.stat().st_mode & 0o777 == 0o640
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "fresh.txt", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "fresh.txt").stat().st_mode & 0o777 == 0o640


def test_protected_files_folders_and_pipes_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StopTraining, match="folder"):
        write_text(tmp_path, "x")
    path = tmp_path / "kept.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(StopTraining, match="write-protected"):
        write_text(path, "new")
    assert path.read_text() == "old"
    write_text(Path("/dev/null"), "gone")
    assert not Path("/dev/null").is_file()


def test_a_name_of_255_bytes_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 125 + ".json")
    write_json(path, {"ä": 1}, json.JSONEncoder(indent=1, ensure_ascii=False))
    assert path.read_text(encoding="utf-8") == '{\n "ä": 1\n}\n'


def test_tables_are_what_the_csv_module_writes(tmp_path: Path) -> None:
    write_cells(tmp_path / "t.csv", [("path", "class"), ("a,b.jpg", "ä"), ("\udcff.jpg", "")])
    assert (tmp_path / "t.csv").read_bytes() == 'path,class\r\n"a,b.jpg",ä\r\n\\xFF.jpg,\r\n'.encode()


def test_a_kept_file_is_never_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, keep = tmp_path / "state", tmp_path / "before"
    for text in ("1", "2", "3"):
        write_atomically(path, lambda draft: draft.write_text(text), keep=keep)
    assert (path.read_text(), keep.read_text(), names(tmp_path)) == ("3", "2", ["before", "state"])
    monkeypatch.setattr(files, "NAME_BYTES", 255)
    real = os.replace

    def fail_on_path(source: Path, target: Path) -> None:
        if Path(target) == path:
            raise OSError(errno.EIO, "broken disk")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail_on_path)
    with pytest.raises(StopTraining):
        write_atomically(path, lambda draft: draft.write_text("4"), keep=keep)
    assert path.read_text() == "3" and names(tmp_path) == ["before", "state"]
    monkeypatch.undo()
    write_atomically(path, lambda draft: draft.write_text("5"), keep=keep)
    assert (path.read_text(), keep.read_text(), names(tmp_path)) == ("5", "3", ["before", "state"])


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: real(handle, bytes(content)[:3]))
    append_line(tmp_path / "log", "a long line")
    append_line(tmp_path / "log", "another")
    assert (tmp_path / "log").read_text() == "a long line\nanother\n"


def test_a_line_that_does_not_fit_is_taken_back_and_said(tmp_path: Path) -> None:
    code = ("import resource, sys; from pathlib import Path; from runtime.lines import append_line\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, {resource.RLIM_INFINITY}))\n"
            "append_line(Path(sys.argv[1]), 'y' * 9_000)\n"
            "append_line(Path(sys.argv[1]), 'z' * 9_000)")
    path = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0 and "StopTraining" in done.stderr and str(path) in done.stderr
    assert path.read_text() == "y" * 9_000 + "\n"


@pytest.mark.parametrize("old", ["", "whole\n", "cut o"])
def test_a_cut_line_is_ended_before_the_next(tmp_path: Path, old: str) -> None:
    path = tmp_path / "log"
    path.write_text(old)
    append_line(path, "next")
    assert path.read_text().splitlines() == [*old.splitlines(), "next"]


def _append_many(path: Path, letter: str) -> None:
    for _ in range(50):
        append_line(path, letter * 5_000, sync=False)


def test_processes_do_not_cut_each_other_s_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    processes = [multiprocessing.get_context("fork").Process(target=_append_many, args=(path, letter))
                 for letter in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 150 and all(len(set(line)) == 1 and len(line) == 5_000 for line in lines)
