"""--plan on every training command leaves no trace, interrupts are answered, and what follows is told."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import main_finetune
import main_metric
import main_pretrain
from engine import logger
from engine.trainer import Trainer
from runtime import words as words_of_flags

NETWORK = ["--pretrained", "none", "--device", "cpu", "--precision", "fp32", "--threads", "1", "--num-workers", "0"]
ENCODER = [*NETWORK, "-a", "test_resnet", "--size", "32", "--epochs", "2", "--batch-size", "8"]
COMMANDS = {
    "moco": (main_pretrain.main, [*ENCODER, "--method", "moco", "--crop-root", "none", "--moco-k", "64", "--monitor-every", "1"]),
    "lead": (main_pretrain.main, [*ENCODER, "--crop-root", "none", "--teacher", "test_resnet", "--teacher-weights", "none",
                                  "--teacher-size", "32", "--prototypes", "4", "--cache", "none", "--teacher-precision", "fp32",
                                  "--balance", "0.5"]),
    "lcr-byol": (main_pretrain.main, [*ENCODER, "--method", "lcr-byol", "--projector-hidden", "32"]),
    "metric": (main_metric.main, [*NETWORK, "-a", "test_resnet", "--epochs", "2", "--bs", "8", "--OBD-SD", "--embed-dim", "16"]),
    "finetune": (main_finetune.main, [*NETWORK, "-a", "test_resnet", "--size", "32", "--epochs", "2", "--batch-size", "8",
                                      "--accum-steps", "2", "--mixup", "0.5"]),
}
pytestmark = pytest.mark.filterwarnings("ignore:teacher")


@pytest.fixture
def copied(photo_tree: Path) -> Path:
    """The tree with one training photograph among the test photographs, under another name."""
    first = sorted(photo_tree.glob("train/*/*.jpg"))[0]
    shutil.copy(first, photo_tree / "test" / first.parent.name / "copy.jpg")
    return photo_tree


def list_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def read_weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoint.pt", weights_only=True)["method"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_planned_run_is_the_unplanned_one(name: str, copied: Path, tmp_path: Path, call_main: Callable) -> None:
    main, words = COMMANDS[name]
    words = [*words, "--root", str(copied)]
    before = list_files(tmp_path)
    only = call_main(main, *words, "--results-dir", "run", "--plan")
    assert only.returncode == 0, only.stderr
    assert list_files(tmp_path) == before  # nothing was written, not even a folder made
    assert f"plan: {'obdsd' if name == 'metric' else 'plain' if name == 'finetune' else name} trains test_resnet, into run" in only.stdout
    if name != "metric":  # its classes are of the training folders alone
        assert "1 files of train are in test too (train/001.Red_bird/001.Red_bird_00.jpg = test/001.Red_bird/copy.jpg)" in only.stdout
        assert "1 of test are training images too, byte for byte" in only.stdout
    assert "steps in all are few" in only.stdout and " s a step (mean of " in only.stdout and " GiB at the peak" in only.stdout
    assert ("queue    64 keys for 24 images" in only.stdout) == (name == "moco")
    planned = call_main(main, *words, "--results-dir", "planned", "--plan", "train")
    plain = call_main(main, *words, "--results-dir", "plain")
    assert planned.returncode == plain.returncode == 0, planned.stderr
    assert "plan:" in planned.stdout and "plan:" not in plain.stdout
    first, second = read_weights(tmp_path / "planned"), read_weights(tmp_path / "plain")
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    logs = [[row for row in map(json.loads, (tmp_path / run / "log.jsonl").read_text().splitlines()) if row["kind"] != "speed"]
            for run in ("planned", "plain")]
    assert logs[0] == logs[1]
    if name == "lead":
        assert (tmp_path / "planned" / "per_image.bin").read_bytes() == (tmp_path / "plain" / "per_image.bin").read_bytes()
    assert "next:" in plain.stderr and "plain" in plain.stderr.split("next:")[1]
    assert plain.stderr.count("trains test_resnet") and "all epochs in" in plain.stderr


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl-C is heard, as in a terminal: a shell that starts the tests in its background has it ignored."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def signal_at(monkeypatch: pytest.MonkeyPatch, number: int, at: int) -> None:
    """The process signals itself as step `at` begins."""
    step = Trainer.train_step

    def interrupt(self: Trainer, stream: object) -> dict[str, float]:
        if self.step == at:
            os.kill(os.getpid(), number)
        return step(self, stream)

    monkeypatch.setattr(Trainer, "train_step", interrupt)


def goes_on_as_if_nothing_had_been(asked: list[str], words: list[str], folder: Path, call_main: Callable) -> None:
    """The command that was told, and what a run without a stop learns."""
    main = COMMANDS["moco"][0]
    assert asked == ["main_pretrain.py", *words, "--resume"]
    assert call_main(main, *asked[1:]).returncode == 0
    assert call_main(main, *words[:-1], "whole").returncode == 0
    first, second = read_weights(folder / "my run"), read_weights(folder / "whole")
    assert all(torch.equal(first[key], second[key]) for key in first)
    logs = [[row for row in map(json.loads, (folder / run / "log.jsonl").read_text().splitlines()) if row["kind"] != "speed"]
            for run in ("my run", "whole")]
    assert logs[0] == logs[1]


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("at", [1, 4])
def test_an_interrupt_is_answered_with_what_continues(
    photo_tree: Path, tmp_path: Path, call_main: Callable, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    main, words = COMMANDS["moco"]
    words = [*words, "--root", str(photo_tree), "--results-dir", "my run"]
    usual = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        signal_at(patch, signal.SIGINT, at)
        done = call_main(main, *words)
    assert done.returncode == 130 and signal.getsignal(signal.SIGTERM) == usual
    said, command = done.stderr.rstrip().splitlines()[-2:]
    asked = shlex.split(command)[1:]
    if at == 1:
        assert said.startswith("interrupted; there is no checkpoint yet; begin with") and asked == ["main_pretrain.py", *words]
        return
    assert said.startswith("interrupted; the last checkpoint stands; go on with")
    planned = call_main(main, *asked[1:], "--plan")
    assert planned.returncode == 0 and "steps    3 x 2 epochs = 6, 3 left" in planned.stdout
    goes_on_as_if_nothing_had_been(asked, words, tmp_path, call_main)


@pytest.mark.parametrize("number, at", [(signal.SIGTERM, 0), (signal.SIGUSR1, 1), (signal.SIGUSR1, 2), (signal.SIGTERM, 5)])
def test_a_scheduler_gets_the_machine_after_the_step_and_nothing_is_lost(
    photo_tree: Path, tmp_path: Path, call_main: Callable, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, at: int
) -> None:
    main, words = COMMANDS["moco"]
    words = [*words, "--root", str(photo_tree), "--results-dir", "my run"]
    usual = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGUSR1)]
    with monkeypatch.context() as patch:
        signal_at(patch, number, at)
        done = call_main(main, *words)
    assert done.returncode == 0 and [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGUSR1)] == usual
    said, command = done.stderr.rstrip().splitlines()[-2:]
    assert said == (f"interrupted by {number.name} after step {at + 1}, which is saved; the last checkpoint stands; go on with")
    assert torch.load(tmp_path / "my run" / "checkpoint.pt", weights_only=True)["step"] == at + 1
    assert not (tmp_path / "my run" / "model_last.pth").exists()
    goes_on_as_if_nothing_had_been(shlex.split(command)[1:], words, tmp_path, call_main)


def test_before_the_first_step_there_is_nothing_to_wait_for(
    photo_tree: Path, call_main: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, words = COMMANDS["moco"]
    monkeypatch.setattr(Trainer, "__init__", lambda *_, **__: os.kill(os.getpid(), signal.SIGUSR1))
    done = call_main(main, *words, "--root", photo_tree, "--results-dir", "run")
    assert done.returncode == 128 + signal.SIGUSR1
    assert "interrupted by SIGUSR1; there is no checkpoint yet; begin with" in done.stderr


@pytest.mark.parametrize("name", ["metric", "finetune"])
def test_every_training_command_ends_when_asked(
    name: str, photo_tree: Path, call_main: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, words = COMMANDS[name]
    signal_at(monkeypatch, signal.SIGUSR1, 1)
    done = call_main(main, *words, "--root", photo_tree, "--results-dir", "run")
    assert done.returncode == 0 and "interrupted by SIGUSR1 after step 2, which is saved" in done.stderr


@pytest.mark.parametrize("main, word", [(main_finetune.main, "--eval"), (main_metric.main, "--evaluate")])
def test_an_evaluation_has_no_plan(photo_tree: Path, tmp_path: Path, call_main: Callable, main: Callable, word: str) -> None:
    name = "finetune" if main is main_finetune.main else "metric"
    assert call_main(main, *COMMANDS[name][1], "--root", photo_tree, "--results-dir", "run").returncode == 0
    done = call_main(main, word, "run", "--root", photo_tree, "--plan", "--device", "cpu")
    assert done.returncode == 2 and "--plan: read only with a training" in done.stderr


def test_gradients_of_every_command_whose_terms_meet(photo_tree: Path, tmp_path: Path, call_main: Callable) -> None:
    for name, term in (("moco", "loss1"), ("metric", "rank"), ("finetune", "cls")):
        main, words = COMMANDS[name]
        done = call_main(main, *words, "--root", str(photo_tree), "--results-dir", name, "--gradient-every", "2")
        assert done.returncode == 0, done.stderr
        rows = [row for row in map(json.loads, (tmp_path / name / "log.jsonl").read_text().splitlines()) if row["kind"] == "gradients"]
        assert rows and all(row[f"norm_{term}"] > 0 for row in rows) and all(row["step"] % 2 for row in rows)


def test_a_balance_without_two_sides_and_gradients_without_a_meeting_are_refused(photo_tree: Path, call_main: Callable) -> None:
    main, words = COMMANDS["moco"]
    done = call_main(main, *words, "--root", photo_tree, "--balance", "0.5")
    assert done.returncode == 2 and "--balance: read only with --method lead" in done.stderr
    done = call_main(main_finetune.main, *NETWORK, "--root", photo_tree, "--method", "pim", "-a", "test_resnet", "--size", "64",
                     "--batch-size", "8", "--num-selects", "2", "--use-combiner", "false", "--use-selection", "false", "--gradient-every", "5")
    assert done.returncode == 2 and "--gradient-every 5: the loss terms of pim meet in no single map" in done.stderr


def test_a_plan_opens_no_board_elsewhere(photo_tree: Path, call_main: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    main, words = COMMANDS["moco"]
    opened: list[str] = []
    monkeypatch.setattr(words_of_flags.importlib.util, "find_spec", lambda name: name)  # whether or not it is installed
    monkeypatch.setattr(logger, "open_sink", lambda sink, folder, name: opened.append(sink) or (lambda *_: None))
    words = [*words, "--root", str(photo_tree), "--results-dir", "run", "--logger", "tensorboard"]
    assert call_main(main, *words, "--plan").returncode == 0 and opened == []
    assert call_main(main, *words).returncode == 0 and opened == ["tensorboard"]
