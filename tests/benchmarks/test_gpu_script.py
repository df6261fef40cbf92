"""The script that asks a GPU everything runs end to end without one, at the smallest sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.sh"


@pytest.mark.slow
def test_one_table_with_every_row(tmp_path: Path) -> None:
    told = {**os.environ, "DEVICE": "cpu", "TINY": "1", "LIMIT": "200", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(SCRIPT)], cwd=tmp_path, env=told, capture_output=True, text=True, timeout=1500)
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert done.returncode == 0 and len(rows) == 2 + 16, done.stdout + done.stderr
    for row in rows[3:]:
        assert float(row.split("|")[2]) > 0, row
    assert "skipped" in rows[2] or "passed" in rows[2]


def test_without_a_gpu_it_says_so() -> None:
    told = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([str(SCRIPT)], env=told, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "no CUDA device here" in done.stderr
