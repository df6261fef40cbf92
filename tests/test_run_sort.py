"""run_sort.sh: photographs as the caller means them, the page's command, and what it needs where it is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The script in a project of its own, and a python3 on the path that notes its words and lacks every package."""
    place = tmp_path / "plumage"
    for name in ("run_sort.sh", "tools/launch.sh"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(
        '#!/bin/sh\necho "$@" >> "$NOTE"\ncase "$*" in "-c import"*) [ -e "$NOTE.all" ]; exit;; "-m pip install"*) touch "$NOTE.all";; esac\n'
        'if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi\n')
    python.chmod(0o755)
    (tmp_path / "photos").mkdir()
    return place


def run(place: Path, *words: str, **more: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    note = place.parent / "note"
    environment = {**os.environ, "PATH": f"{place.parent / 'bin'}:{os.environ['PATH']}", "NOTE": str(note), **more}
    environment.pop("PYTHON", None) if not more else None
    done = subprocess.run(["bash", str(place / "run_sort.sh"), *words], cwd=place.parent, env=environment, capture_output=True,
                          text=True)
    return done, note.read_text().splitlines() if note.exists() else []


def test_it_is_the_page_of_the_folder_that_the_caller_named(copy: Path) -> None:
    done, asked = run(copy, "photos", "--port", "8123", PYTHON=str(copy.parent / "bin" / "python3"))
    assert done.returncode == 0, done.stderr
    assert asked == [f"-m tools.sort {copy.parent}/photos --serve --port 8123"]


def test_it_installs_once_where_nothing_is_installed(copy: Path) -> None:
    done, asked = run(copy, "photos")
    assert done.returncode == 0 and "installing" in done.stderr
    assert [line.partition(" -r")[0] for line in asked][1:3] == ["-m venv .venv", "-m pip install --quiet --disable-pip-version-check"]
    assert asked[-1] == f"-m tools.sort {copy.parent}/photos --serve"
    again, asked = run(copy, "photos")
    assert "installing" not in again.stderr and asked[-1] == f"-m tools.sort {copy.parent}/photos --serve"
    (copy.parent / "note.all").unlink()  # an environment whose installation was broken off
    last, asked = run(copy, "photos")
    assert "installing" in last.stderr and sum(line.startswith("-m pip") for line in asked) == 2
    assert sum(line.startswith("-m venv") for line in asked) == 1


@pytest.mark.parametrize("words", [(), ("a", "b")])
def test_wrong_words_tell_the_usage(copy: Path, words: tuple[str, ...]) -> None:
    done, asked = run(copy, *words)
    assert done.returncode == 2 and "usage:" in done.stderr and not asked
