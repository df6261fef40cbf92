"""Runs that stop half-way, and folders that hold something already."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from DDT import stages
from DDT.__main__ import main
from DDT.boxes import RowLog
from runtime.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
Words = Callable[..., list[str]]
Table = Callable[[Path], list[dict[str, str]]]


@pytest.mark.parametrize("directions", [1, 2])
def test_killed_run_continues(tmp_path: Path, words: Words, read_table: Table, directions: int) -> None:
    given = ("--directions", directions)
    main(words(tmp_path / "straight", *given))
    straight, killed = tmp_path / "straight" / "bird_crop", tmp_path / "killed" / "bird_crop"
    slow = (
        "import sys, time, DDT.stages as stages; from DDT.__main__ import main; finish = stages.finish\n"
        "def wait(*args): time.sleep(0.4); return finish(*args)\n"
        "stages.finish = wait; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", slow, *words(tmp_path / "killed", *given)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if (killed / "boxes.csv").exists() and len((killed / "boxes.csv").read_text().splitlines()) > 5:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = (killed / "boxes.csv").read_text()
    assert 5 < len(done.splitlines()) < 30
    assert not json.loads((killed / "ddt.json").read_text())["finished"]
    (killed / "boxes.csv").write_text(done + "train/half a li")
    first = killed / read_table(killed)[0]["path"]
    fit, written = (killed / "fit.npz").stat().st_mtime_ns, first.stat().st_mtime_ns
    main(words(tmp_path / "killed", *given))
    assert (killed / "boxes.csv").read_bytes() == (straight / "boxes.csv").read_bytes()
    assert (killed / "cuts.csv").read_bytes() == (straight / "cuts.csv").read_bytes()
    assert ((killed / "fit.npz").stat().st_mtime_ns, first.stat().st_mtime_ns) == (fit, written)
    for row in read_table(straight):
        assert (killed / row["path"]).read_bytes() == (straight / row["path"]).read_bytes()
    assert not list(killed.rglob("*.tmp"))


def test_a_run_killed_between_the_passes_fits_anew(tmp_path: Path, words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("--no-crops", "--directions", 2)
    main(words(tmp_path / "straight", *given))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stages, "merge_leaves", stop)
        main(words(tmp_path / "stopped", *given))
    straight, stopped = (tmp_path / name / "bird_crop" for name in ("straight", "stopped"))
    assert not (stopped / "fit.npz").exists() and not (stopped / "boxes.csv").exists()
    main(words(tmp_path / "stopped", *given))
    for name in ("boxes.csv", "cuts.csv"):
        assert (stopped / name).read_bytes() == (straight / name).read_bytes()


def test_full_disk_loses_nothing(
    tmp_path: Path, words: Words, read_table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(words(tmp_path / "straight"))
    add, calls = RowLog.add, []

    def fail(self: RowLog, rows: list) -> None:
        calls.append(len(rows))
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        add(self, rows)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="No space left.*run the same command"):
        patch.setattr(RowLog, "add", fail)
        main(words(tmp_path / "full"))
    folder = tmp_path / "full" / "bird_crop"
    assert 0 < len(read_table(folder)) < 36
    main(words(tmp_path / "full"))
    assert (folder / "boxes.csv").read_bytes() == (tmp_path / "straight/bird_crop/boxes.csv").read_bytes()


def test_changed_settings_are_refused(tmp_path: Path, words: Words, read_table: Table) -> None:
    main(words(tmp_path, "--no-crops", "--cut-rate", 0.85))
    fit = (tmp_path / "bird_crop/fit.npz").stat().st_mtime_ns
    with pytest.raises(DataError, match="cut_rate was 0.85, is 1.0(.|\n)*--restart"):
        main(words(tmp_path, "--no-crops", "--cut_rate", 1.0))
    with pytest.raises(DataError, match="policy was square, is none"):
        main(words(tmp_path, "--no-crops", "--cut-rate=0.85", "--policy", "none"))
    with pytest.raises(DataError, match="directions was auto, is 2(.|\n)*give the old ones"):
        main(words(tmp_path, "--no-crops", "--cut-rate=0.85", "--directions", 2))
    main(words(tmp_path, "--no-crops", "--cut-rate", 1.0, "--restart", "true"))
    assert {row["cut_rate"] for row in read_table(tmp_path / "bird_crop")} == {"1"}
    assert (tmp_path / "bird_crop/fit.npz").stat().st_mtime_ns == fit


def test_crops_can_follow_later(tmp_path: Path, words: Words, read_table: Table) -> None:
    main(words(tmp_path, "--no-crops", "--limit", 4))
    folder = tmp_path / "bird_crop"
    before = (folder / "boxes.csv").read_bytes()
    main(words(tmp_path, "--limit", 4, "--batch-size", 3))
    assert (folder / "boxes.csv").read_bytes() == before
    assert len(read_table(folder)) == 8 and all((folder / row["path"]).is_file() for row in read_table(folder))
