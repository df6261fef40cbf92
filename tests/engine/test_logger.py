"""The log of a continued run: cut where the checkpoint was made, never padded, never cut within a line."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.logger import Logger, TimeLeft

ROOT = Path(__file__).parents[2]


def write_steps(folder: Path, *steps: int) -> int:
    logger = Logger(folder)
    logger.open = True
    for step in steps:
        logger.write("step", {"step": step, "loss": float("nan")})
    return logger.position()


def resume(folder: Path, position: int, step: int) -> list[int]:
    logger = Logger(folder)
    logger.start(position, step)
    logger.write("step", {"step": step + 1})
    return [json.loads(line).get("step") for line in (folder / "log.jsonl").read_text().splitlines()]


def test_what_came_after_the_checkpoint_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    position = write_steps(tmp_path, 1, 2)
    write_steps(tmp_path, 3, 4)
    assert resume(tmp_path, position, 2) == [1, 2, 3]
    assert capsys.readouterr().err == ""
    assert resume(tmp_path, 0, 0) == [1], "a new run begins a new log"


def test_a_missing_log_is_said_and_not_padded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert resume(tmp_path, 5000, 2) == [3]
    assert "5000 bytes" in (said := capsys.readouterr().err) and str(tmp_path / "log.jsonl") in said
    assert b"\0" not in (tmp_path / "log.jsonl").read_bytes()


@pytest.mark.parametrize("edit", [
    lambda text: text.replace('"kind": "step", ', "", 1), lambda text: "{}\n" + text,
    lambda text: text.splitlines(True)[0], lambda text: text[:-7], lambda text: text.replace("NaN", "null") + "rubbish"])
def test_an_edited_log_keeps_its_whole_lines_up_to_the_checkpoint(
    tmp_path: Path, edit: Callable[[str], str]
) -> None:
    position = write_steps(tmp_path, 1, 2)
    write_steps(tmp_path, 3, 4)
    log = tmp_path / "log.jsonl"
    log.write_text(edit(log.read_text()))
    steps = resume(tmp_path, position, 2)
    assert steps[-1] == 3 and set(steps[:-1]) <= {None, 1, 2} and 1 in steps
    log.read_text().encode("ascii")  # nothing was padded


def test_a_full_disk_leaves_whole_lines_and_a_message(tmp_path: Path) -> None:
    code = ("import resource, sys; from pathlib import Path; from engine.logger import Logger\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, {resource.RLIM_INFINITY}))\n"
            "logger = Logger(Path(sys.argv[1])); logger.start()\n"
            "for step in range(1000): logger.write('step', {'step': step, 'loss': 1.0})")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0 and "StopTraining" in done.stderr and "log.jsonl" in done.stderr
    text = (tmp_path / "log.jsonl").read_text()
    assert text.endswith("}\n") and all(json.loads(line)["kind"] == "step" for line in text.splitlines())


def test_the_time_left_is_that_of_the_steps_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("engine.logger.time.perf_counter", lambda: now[0])
    left = TimeLeft(2, 10)
    assert left.say(2) == "?"
    now[0] += 6
    assert left.say(5) == "00:10"
