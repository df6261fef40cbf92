"""main_pretrain.py --select labelfree, as a user runs it: which network a run leaves, and who takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import main_pretrain
import main_retrieval
from evaluation.features.chosen import read_chosen
from evaluation.features.sources import find_source
from evaluation.labelfree.joining import choose_share
from models.encoder import load_encoder

ROOT = Path(__file__).resolve().parents[4]
TINY = ["--device", "cpu", "-a", "test_resnet", "--pretrained", "none", "--size", "32", "--batch-size", "8", "--precision", "fp32",
        "--threads", "1", "--num-workers", "0", "--epochs", "2", "--cache", "none", "--crop-root", "none", "--monitor-every", "1",
        "--teacher", "test_resnet+test_resnet", "--teacher-weights", "none+none", "--teacher-size", "32", "--prototypes", "4"]
SMALL = [*TINY, "--preset", "small"]
pytestmark = pytest.mark.filterwarnings("ignore:teacher", "ignore:Precision loss")


def read_epochs(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "epoch"]


@pytest.mark.parametrize("method", ["lead", "byol"])
def test_the_run_means_the_network_it_selected(
    photo_tree: Path, tmp_path: Path, call_main: Callable, method: str
) -> None:
    words = SMALL if method == "lead" else [*TINY, "--method", method, "--projector-hidden", "32", "--select", "labelfree"]
    done = call_main(main_pretrain.main, *words, "--root", photo_tree, "--results-dir", "run")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    epochs = read_epochs(folder)
    share = 0.5 if "trust 0.5" in done.stdout or "trust 1" in done.stdout else 0.25
    assert all(row["labelfree"] == max(row["agree_0"], row.get(f"agree_{share:g}", 0)) <= 1 for row in epochs)
    source, found = find_source(str(folder))
    assert source == str(folder / "model_best.pth") and found == folder
    assert read_chosen(Path(source)) == "joint" and "--feature auto is joint" in done.stdout
    encoder = load_encoder(source)
    meta = json.loads(torch.load(source)["meta"])
    best = max(range(len(epochs)), key=lambda n: epochs[n]["labelfree"])
    if meta["epoch"]:
        assert meta["epoch"] == best + 1
        assert float(encoder.joint.share) == choose_share(epochs[best], share)
    else:
        assert "network of the start" in done.stdout and float(encoder.joint.share) == 0
    assert torch.load(source)["centre"]["joint"].norm() < 0.5
    done = call_main(main_retrieval.main, "--pretrained", "run", "--root", photo_tree, "--device", "cpu", "--num-workers", "0",
                     "--results-dir", "search", "--cache", "none")
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "search" / "results.jsonl").read_text().splitlines()[-1])
    assert row["feature"] == "joint" and row["details"].get("split", "test") == "test"


def test_a_killed_run_selects_as_a_whole_one(photo_tree: Path, tmp_path: Path, call_main: Callable) -> None:
    for name in ("whole", "parts"):
        assert call_main(main_pretrain.main, *SMALL, "--root", photo_tree, "--results-dir", name).returncode == 0
    (tmp_path / "parts" / "checkpoint.pt").unlink()  # as if it had been killed in the second epoch
    (tmp_path / "parts" / "model_best.pth").unlink()
    done = call_main(main_pretrain.main, *SMALL, "--root", photo_tree, "--results-dir", "parts", "--resume")
    assert done.returncode == 0, done.stderr
    one, other = (torch.load(tmp_path / name / "model_best.pth") for name in ("whole", "parts"))
    assert one["meta"] == other["meta"]
    for part in ("state_dict", "centre"):
        assert one[part].keys() == other[part].keys()
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])


def test_without_a_monitor_there_is_nothing_to_select(photo_tree: Path, call_main: Callable) -> None:
    done = call_main(main_pretrain.main, *SMALL, "--root", photo_tree, "--results-dir", "run", "--monitor-every", "0")
    assert done.returncode == 2 and "give --monitor-every above 0" in done.stderr


def test_two_ranks_select_one_network(photo_tree: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "main_pretrain.py"]
    done = subprocess.run([*launch, *SMALL, "--root", str(photo_tree), "--results-dir", str(tmp_path / "two")], cwd=ROOT,
                          capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("--feature auto is joint") == 1 and done.stdout.count("trust ") == 1
    assert load_encoder(tmp_path / "two" / "model_best.pth").joint is not None


def test_a_teacher_with_words_judges_too(photo_tree: Path, tmp_path: Path, tiny_clip: Path, call_main: Callable) -> None:
    torch.save(torch.randn(3, 16, generator=torch.Generator().manual_seed(0)), tmp_path / "text.pt")
    words = [word for word in SMALL if word not in ("--prototypes", "4")]
    words[words.index("--teacher") : words.index("--teacher-size")] = [
        "--teacher", "clip", "--teacher-weights", str(tiny_clip), "--teacher-arch", "tiny-text", "--text-load", "text.pt"]
    done = call_main(main_pretrain.main, *words, "--root", photo_tree, "--results-dir", "run", "--text-rows", "any")
    assert done.returncode == 0, done.stderr
    assert "trust" not in done.stdout  # it is of ensembles of networks that see
    assert read_chosen(tmp_path / "run" / "model_best.pth") == "joint"
