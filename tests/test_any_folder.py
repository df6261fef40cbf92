"""Commands and scripts work from any folder: each is started from an empty one elsewhere, by its path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("main_*.py"), *(ROOT / "tools").glob("*.py"))
                  if path.stem != "__init__")
SCRIPTS = sorted(path.name for path in ROOT.glob("run_*.sh"))


def call(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in `folder`, which must be as empty afterwards."""
    kept = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if "loopback" in one]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(kept), "PYTHON": sys.executable, **more}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert not [path.name for path in folder.iterdir() if path.name != "photos"]
    return done


@pytest.mark.parametrize("command", [*COMMANDS, "DDT/__main__.py", "DDT"])
def test_a_command_by_its_path_tells_its_flags(command: str, tmp_path: Path) -> None:
    done = call(tmp_path, sys.executable, str(ROOT / command), "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: "), done.stderr


@pytest.mark.parametrize("script", sorted(set(SCRIPTS) - {"run_demo.sh", "run_tests.sh"}))
def test_a_script_by_its_path_tells_its_usage(script: str, tmp_path: Path) -> None:
    done = call(tmp_path, str(ROOT / script))
    assert done.returncode == 2 and f"usage: {ROOT / script} " in done.stderr


@pytest.mark.parametrize(("script", "words"), [
    ("run_ddt.sh", "bird photos none cpu --help"), ("run_train.sh", "bird photos none x 0 cpu --help"),
    ("run_linear.sh", "bird photos none x 0 cpu --help"), ("run_retrieval.sh", "bird photos none cpu --help"),
    ("run_metric.sh", "cub photos 128 x cpu --help"), ("run_finetune.sh", "folder plain photos x cpu --help"),
    ("run_sort.sh", "photos --help")])
def test_a_script_hands_its_flags_on(script: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    done = call(tmp_path, str(ROOT / script), *words.split())
    assert done.returncode == 0 and "usage: " in done.stdout and "--device" in done.stdout, done.stderr


def test_a_relative_path_is_the_callers(tmp_path: Path) -> None:
    """Where something is there; else it is looked for in the project's folder, as names of runs are."""
    (tmp_path / "here" / "photos").mkdir(parents=True)
    echo = tmp_path / "echo"
    echo.write_text('#!/bin/sh\necho "$PWD" "$@"\n')
    echo.chmod(0o755)
    for script, words, heard in (
        ("run_ddt.sh", "bird photos none cpu out", f"--root {tmp_path}/here/photos --pretrained none --device cpu "
                                                   f"--out {tmp_path}/here/out"),
        ("run_ddt.sh", "bird absent none cpu", "--root absent --pretrained none --device cpu --out DDT/crop_dataset"),
        ("run_train.sh", "bird photos none x 0 cpu", f"--root {tmp_path}/here/photos --text-load none"),
        ("run_linear.sh", "bird photos my_birds x 0 cpu", f"--root {tmp_path}/here/photos --pretrained my_birds"),
        ("run_retrieval.sh", "bird photos my_birds cpu", f"--root {tmp_path}/here/photos --pretrained my_birds"),
        ("run_metric.sh", "cub photos 128 x cpu", f"--root {tmp_path}/here/photos --results-dir checkpoints/x"),
        ("run_finetune.sh", "folder plain photos x cpu", f"--data-path {tmp_path}/here/photos"),
        ("run_sort.sh", "photos", f"tools.sort {tmp_path}/here/photos --serve"),
    ):
        done = call(tmp_path / "here", str(ROOT / script), *words.split(), PYTHON=str(echo))
        assert done.stdout.startswith(f"{ROOT} ") and f"{heard} " in done.stdout.replace("\n", " "), (script, done.stdout)


def test_the_demo_and_the_tests_start_from_anywhere(tmp_path: Path) -> None:
    done = call(tmp_path, str(ROOT / "run_demo.sh"), "--data", "absent")
    assert done.returncode == 2 and "--data absent: no such folder" in done.stderr
    done = call(tmp_path, str(ROOT / "run_tests.sh"), "--version", TEST_WORKERS="0")
    assert done.returncode == 0 and "pytest" in done.stdout + done.stderr
