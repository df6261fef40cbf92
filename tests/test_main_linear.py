"""main_linear.py and run_linear.sh as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from engine.flags.evaluate.arguments import parse_probe
from evaluation.ledger import read_results
from main_linear import main
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--arch", "resnet18", "--size", "64", "--num_workers", "0", "--device", "cpu", "--threads", "1")
Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]


@pytest.fixture
def run(call_main: Callable[..., Done]) -> Command:
    """Run the command in this process, on a small network."""
    return partial(call_main, main, *SMALL)


def assert_refused(done: Done, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def make_checkpoint(folder: Path, root: Path) -> None:
    """A finished run's folder with an encoder that has a rationale branch."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    encoder = Encoder(build_backbone("resnet18"), None, RationaleBranch(512, 4)).eval()
    save_encoder(encoder, folder / "model_last.pth", {"method": "lead"})
    (folder / "args.json").write_text(json.dumps({"root": str(root), "size": 32, "method": "lead"}))


def test_probe_writes_classifier_confusion_and_two_rows(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "checkpoints" / "birds", photo_tree)
    done = run("--pretrained", "birds", "--input", "full", "--epochs", 30, "--lr", 1, 10, "--num_classes", 3)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "checkpoints_linear" / "birds"
    last, best = read_results(folder / "results.jsonl")
    assert (last["epoch"], best["epoch"]) == ("last", "best") and "held-out training" in best["selection"]
    assert last["feature"] == "masked" and last["method"] == "lead" and last["details"]["lr"] in (1, 10)
    assert last["metrics"]["top1"] > 0.6  # colours; the network is random
    assert read_results(tmp_path / "checkpoints" / "birds" / "results.jsonl") == [last, best]
    saved = torch.load(folder / "model_best.pth", weights_only=True)
    assert saved["classes"] == ["001.Red_bird", "002.Green_bird", "003.Blue_bird"] and saved["weight"].shape == (3, 512)
    with open(folder / "confusion.csv", newline="") as file:
        counts = [[int(cell) for cell in line[1:]] for line in list(csv.reader(file))[1:]]
    assert [sum(line) for line in counts] == [4, 4, 4]
    assert sum(counts[label][label] for label in range(3)) / 12 == pytest.approx(last["metrics"]["top1"])
    assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_seed_protocol_says_that_best_was_chosen_on_test(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    words = ("--pretrained", "none", "--root", photo_tree, "--input", "full", "--protocol", "seed", "--epochs", 2)
    results = []
    for batch in (64, 7):
        done = run(*words, "--extract-batch-size", batch, "--results-dir", f"out{batch}", "--cache", "none")
        assert done.returncode == 0, done.stderr
        assert "best on: TEST images" in done.stdout
        results.append([row["metrics"] for row in read_results(tmp_path / f"out{batch}" / "results.jsonl")])
    last = read_results(tmp_path / "out7" / "results.jsonl")[0]
    assert last["view"] == "squash" and last["details"]["lr"] == 30.0
    assert results[0] == results[1]


def test_crops_are_the_default_and_all_missing_ones_are_told(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    words = ("--pretrained", "none", "--root", photo_tree, "--epochs", 3)
    assert_refused(run(*words), "no crops at", "run_ddt.sh custom", "--input full")
    crops = tmp_path / "DDT" / "crop_dataset" / "custom_crop"
    shutil.copytree(photo_tree, crops)
    done = run(*words)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(crops / "train" / "002.Green_bird")
    assert_refused(run(*words), "8 of 24 train images have no crop", "Green_bird_00", "run_ddt.sh")


def test_bad_input_gets_one_message(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    common = ("--pretrained", "none", "--input", "full")
    assert_refused(run(*common, "--root", photo_tree, "--num-classes", 5), "--num-classes is 5", "3 classes")
    assert_refused(run(*common, "--root", photo_tree / "train"), "no split 'test'")
    assert_refused(run(*common, "--root", photo_tree, "--epochs", 0, "--lr", -1), "2 problems", "--epochs", "--lr")
    flat = tmp_path / "flat"
    for split in ("train", "test"):
        (flat / split).mkdir(parents=True)
        for path in photo_tree.glob(f"{split}/*/*.jpg"):
            shutil.copy(path, flat / split)
    assert_refused(run(*common, "--root", flat), "no labels")


def test_flags_and_schedule_defaults() -> None:
    args = parse_probe(["--pretrained", "none", "--lr", "30", "--cos", "false", "--schedule", "60", "80"])
    assert args.lr == (30.0,) and args.cos is False and args.schedule == (60, 80) and args.input == "crop"
    assert args.results_dir == "checkpoints_linear/none"


def test_script_takes_five_and_six_arguments(photo_tree: Path, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "run", photo_tree)
    echo = tmp_path / "echo.sh"
    echo.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    echo.chmod(0o755)

    def call(python: object, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([ROOT / "run_linear.sh", *map(str, words)], cwd=tmp_path, capture_output=True, text=True,
                              env={**os.environ, "PYTHON": str(python)}, check=False)

    assert call(echo, "bird", photo_tree, "run", "cpu").returncode == 2
    said = call(echo, "bird", "photos", "run", "name", 3, "cpu", "--lr", "30", "--feature", "gap").stdout.splitlines()
    assert said[:3] == ["main_linear.py", "--device", "cpu"]
    assert said[said.index("--root") + 1] == str(tmp_path / "photos")
    assert said[-6:] == ["--results-dir", "checkpoints_linear/name", "--lr", "30", "--feature", "gap"]
    done = call(sys.executable, "bird", "run", "name", 3, "cpu", "--input", "full", "--epochs", 2, "--threads", 1,
                "--num_workers", 0, "--cache", "none", "--results-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    row = read_results(tmp_path / "out" / "results.jsonl")[0]
    assert (row["size"], row["task"], row["weights"]) == (32, "bird", str(tmp_path / "run"))
