"""Checkpoints: whole or not there, the previous one as a fallback, the disk's refusal as a message."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import checkpoint
from runtime.errors import ConfigError, StopTraining
from runtime.files import write_atomically


def test_saves_and_keeps_the_one_before(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"step": 1})
    checkpoint.save(tmp_path, {"step": 2})
    assert checkpoint.load_resume_state(tmp_path)["step"] == 2
    assert torch.load(tmp_path / checkpoint.PREVIOUS)["step"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [checkpoint.PREVIOUS, checkpoint.CURRENT]


@pytest.mark.parametrize("kept_bytes", [0, 10, 400])
def test_truncated_falls_back_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str], kept_bytes: int) -> None:
    checkpoint.save(tmp_path, {"step": 1, "weights": torch.zeros(500)})
    checkpoint.save(tmp_path, {"step": 2, "weights": torch.zeros(500)})
    path = tmp_path / checkpoint.CURRENT
    path.write_bytes(path.read_bytes()[:kept_bytes])
    assert checkpoint.load_resume_state(tmp_path)["step"] == 1
    assert "WARNING" in capsys.readouterr().err


def test_nothing_whole_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint"):
        checkpoint.load_resume_state(tmp_path)
    (tmp_path / checkpoint.CURRENT).write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match="damaged"):
        checkpoint.load_resume_state(tmp_path)


def test_full_disk_stops_with_a_message_and_loses_nothing(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"step": 1})
    code = ("import resource, torch; from pathlib import Path; from engine import checkpoint\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, {resource.RLIM_INFINITY}))\n"
            f"checkpoint.save(Path({str(tmp_path)!r}), {{'step': 2, 'weights': torch.zeros(100_000)}})")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode != 0 and "StopTraining" in done.stderr and "make room" in done.stderr
    assert checkpoint.load_resume_state(tmp_path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == [checkpoint.CURRENT]


def test_write_atomically_leaves_no_draft_when_writing_fails(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StopTraining, match="No space left"):
        write_atomically(tmp_path / "file", fail)
    assert list(tmp_path.iterdir()) == []


def test_generators_come_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"generators": checkpoint.rng_state()})
    first = random.random(), np.random.rand(), torch.rand(()).item()
    checkpoint.set_rng_state(checkpoint.load_resume_state(tmp_path)["generators"])
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == first
