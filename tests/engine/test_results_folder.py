"""Results folders: held by one command, refused with words, and not needed to print numbers."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

import main_retrieval
from engine import results_folder
from engine.results_folder import append_to, hold_results
from runtime.errors import ConfigError
from runtime.folders import locks


def test_a_closed_folder_is_one_message_or_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    closed = tmp_path / "file" / "results"
    with pytest.raises(ConfigError, match="cannot be written to.*--results-dir"), hold_results(closed):
        pass
    with pytest.raises(ConfigError, match="file is no folder; choose another place"), hold_results(closed.parent):
        pass
    with hold_results(closed, needed=False) as kept:
        assert not kept
        print("the numbers")
    said = capsys.readouterr()
    assert said.out == "the numbers\n" and "--results-dir says where rows and files go" in said.err
    with hold_results(tmp_path / "open") as kept:
        assert kept


def test_a_row_that_one_folder_does_not_take_is_kept_in_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "results.jsonl").mkdir(parents=True)  # nobody can append to it
    (tmp_path / "file").touch()
    append_to([tmp_path / "file" / "run", tmp_path / "here"], {"n": 1}, {"n": 2})
    assert (tmp_path / "here" / "results.jsonl").read_text() == '{"n": 1}\n{"n": 2}\n'
    assert capsys.readouterr().err.count("note:") == 1


def refuse(*_: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_read_only_run_is_measured_all_the_same(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--root", str(photo_tree), "--pretrained", "none", "-a", "test_resnet", "--device", "cpu", "-j", "0",
             "--size", "32", "--cache", "none", "--clusters", "false"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locks, "make_folders", refuse)
    monkeypatch.setattr(results_folder, "append_result", refuse)
    monkeypatch.setattr(sys, "argv", ["main_retrieval.py", *words])
    main_retrieval.main()
    said = capsys.readouterr()
    assert "mAP" in said.out and "Read-only file system" in said.err and list(tmp_path.glob("checkpoints*")) == []
    monkeypatch.setattr(sys, "argv", ["main_retrieval.py", *words, "--results-dir", "asked"])
    with pytest.raises(ConfigError, match="asked cannot be written to"):
        main_retrieval.main()
