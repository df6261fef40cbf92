"""tests/matrix.sh: one row by itself, its table and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ROOT / "tests" / "matrix.sh"), *map(str, words)], capture_output=True, text=True,
                          env={**os.environ, "PYTHON": sys.executable})


def test_an_unknown_capability_is_refused(tmp_path: Path) -> None:
    done = run("--only", "sse9 1", "--logs", tmp_path)
    assert done.returncode == 2 and "no capability sse9; there are default, avx2, own" in done.stderr


@pytest.mark.slow
def test_a_row_counts_what_passed_and_names_what_failed(tmp_path: Path) -> None:
    bad = tmp_path / "test_bad.py"
    bad.write_text("""import os
def test_no(): assert 0
def test_yes(): assert (os.environ["ATEN_CPU_CAPABILITY"], os.environ["PYTHONHASHSEED"]) == ("avx2", "7")
""")
    done = run("--only", "avx2 1 7", "--logs", tmp_path / "logs", bad)
    assert done.returncode == 1 and "test_bad.py::test_no" in done.stdout
    assert ["avx2", "1", "7", "1", "1"] in [line.split()[:5] for line in done.stdout.splitlines()]
    assert (tmp_path / "logs" / "avx2-1-7.log").is_file()
