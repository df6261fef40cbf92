"""Timed steps are real steps of a copy: it moves, the run stands still."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.flags.pretrain.arguments import parse
from engine.trainer import Trainer
from engine.workflows.around import trial
from engine.workflows.build import build
from engine.workflows.pretrain.system import PRETRAIN
from runtime.errors import StopTraining


@pytest.fixture
def trainer(photo_tree: Path, tmp_path: Path) -> Trainer:
    """Of BYOL with LARS, 24 images in 3 steps an epoch."""
    return build(PRETRAIN, parse(["--root", str(photo_tree), "--method", "byol", "--projector-hidden", "32", "--pretrained", "none",
                                  "-a", "test_resnet", "--size", "32", "--batch-size", "8", "--device", "cpu", "--precision", "fp32",
                                  "--num-workers", "0", "--threads", "1", "--warmup-epochs", "0", "--epochs", "2",
                                  "--results-dir", str(tmp_path / "run")]), torch.device("cpu")).trainer


def test_the_copy_moves_and_the_run_stands_still(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: value.clone() for name, value in trainer.method.state_dict().items()}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    twins, usual = [], trial.copy_trainer
    monkeypatch.setattr(trial, "copy_trainer", lambda of: twins.append(usual(of)) or twins[-1])
    found = trial.rehearse(trainer)
    assert found is not None and found.steps == 2 and found.seconds > 0 and 0 <= found.waiting <= 1 and 0 < found.memory < found.room
    after = trainer.method.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not trainer.optimizer.state and trainer.step == 0
    moved, name = twins[0].method.state_dict(), next(name for name in before if name.startswith("predictor"))
    assert not torch.equal(moved[name], before[name])
    assert twins[0].step == 3 and twins[0].optimizer.state
    assert torch.equal(torch.get_rng_state(), generators[0]) and random.getstate() == generators[1]
    assert np.random.get_state()[1].tolist() == generators[2]


def test_nothing_is_timed_where_nothing_is_left(trainer: Trainer) -> None:
    trainer.step = trainer.plan.steps
    assert trial.rehearse(trainer) is None
    trainer.step = trainer.plan.steps - 1
    last = trial.rehearse(trainer)
    assert last is not None and last.steps == 1


def test_a_trial_that_meets_nan_names_no_file(trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.readings.stack_numbers", lambda named: torch.full((len(named),), float("nan")))
    with pytest.raises(StopTraining, match="not finite"):
        trial.rehearse(trainer)
    assert not list(tmp_path.rglob("nan_batch.json"))


def test_the_first_step_warms_up_and_what_is_copied_does_not_count(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 1.0, 3.0])
    monkeypatch.setattr(trial.precision, "clock", lambda work, device: next(times))
    monkeypatch.setattr(trial, "measure_most", lambda device: 10**9)
    twins, usual = [], trial.copy_trainer
    monkeypatch.setattr(trial, "copy_trainer", lambda of: twins.append(usual(of)) or twins[-1])
    found = trial.rehearse(trainer)
    assert found.seconds == 2.0 and found.memory == 10**9 - trial.count_bytes(twins[0]) < 10**9
