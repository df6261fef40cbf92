"""main_retrieval.py and run_retrieval.sh as a user runs them."""

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
from PIL import Image

from engine.flags.evaluate.arguments import parse_search
from evaluation.ledger import read_results
from evaluation.reports.table import collect
from main_retrieval import main

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--arch", "resnet18", "--size", "32", "--num_workers", "0", "--device", "cpu", "--threads", "1")
Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]


@pytest.fixture
def run(call_main: Callable[..., Done]) -> Command:
    """Run the command in this process, on a small network."""
    return partial(call_main, main, *SMALL)


def read_row(path: Path) -> dict:
    return json.loads(path.read_text().splitlines()[-1])


def test_scores_table_picture_and_ledger(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    done = run("--pretrained", "none", "--root", photo_tree, "--centre", "--knn", "--queries", 4)
    assert done.returncode == 0, done.stderr
    assert "12 test images query all others (0 skipped" in done.stdout and "train to test" in done.stdout
    folder = tmp_path / "checkpoints" / "none" / "retrieval-custom"
    row = read_row(folder / "results.jsonl")
    assert (row["input"], row["feature"], row["split"], row["centred"]) == ("full", "backbone", "test", True)
    low, score, high = (row["metrics"][name] for name in ("map_low", "map", "map_high"))
    assert 0 < low <= score <= high <= 1
    with open(folder / "per_query.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 12 and all(line["near1"] != line["path"] for line in table)
    assert row["metrics"]["map"] == pytest.approx(sum(float(line["ap"]) for line in table) / 12, abs=1e-5)
    assert row["metrics"]["rank1"] == pytest.approx(sum(line["first_hit"] == "1" for line in table) / 12)
    with Image.open(folder / "neighbours.png") as sheet:
        assert sheet.width > sheet.height > 300
    again = run("--pretrained", "none", "--root", photo_tree, "--centre", "--knn", "--batch_size", 5)
    assert again.returncode == 0 and read_row(folder / "results.jsonl")["metrics"] == row["metrics"]


def test_a_set_without_test_split_searches_in_train_and_says_so(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    done = run("--pretrained", "none", "--root", photo_tree / "train", "--results_dir", "out")
    assert done.returncode == 0, done.stderr
    assert "no test split" in done.stdout and read_row(tmp_path / "out/results.jsonl")["split"] == "train"


def assert_refused(done: Done, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_bad_input_gets_one_message(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    common = ("--root", photo_tree)
    assert_refused(run(*common, "--pretrained", "nothing_here"), "no folder under checkpoints/", "package:")
    assert_refused(run("--pretrained", "none"), "--root")
    assert_refused(run(*common, "--pretrained", "none", "--num-classes", 200), "200", "3 classes")
    assert_refused(run(*common, "--pretrained", "none", "--feature", "masked"), "only backbone")
    assert_refused(run(*common, "--pretrained", "none", "--input", "crop"), "run_ddt.sh", "--input full")


def test_a_flat_folder_without_labels_gets_a_picture_and_no_number(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in photo_tree.glob("test/*/*.jpg"):
        shutil.copy(path, flat)
    done = run("--pretrained", "none", "--root", flat, "--results_dir", "out")
    assert done.returncode == 0 and "without labels" in done.stdout
    assert not (tmp_path / "out" / "results.jsonl").exists()
    with open(tmp_path / "out" / "per_query.csv", newline="") as file:
        assert all(line["ap"] == "" and line["near1"] for line in csv.DictReader(file))
    with Image.open(tmp_path / "out" / "neighbours.png") as sheet:
        assert sheet.height > 300


def test_missing_crops_are_listed_at_once(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    shutil.copytree(photo_tree / "test" / "001.Red_bird", crops / "test" / "001.Red_bird")
    words = ("--root", photo_tree, "--pretrained", "none", "--input", "crop", "--crop_root", crops)
    assert_refused(run(*words), "8 of 12 test images have no crop", "Green_bird_00", "run_ddt.sh")


def test_flags_in_both_spellings_and_problems_together() -> None:
    args = parse_search(["--pretrained", "none", "--results_dir", "a_b", "--crop_bottom", "7", "--k", "3", "-a", "clip"])
    assert (args.results_dir, args.crop_bottom, args.neighbours) == ("a_b", 7, 3)
    assert (args.arch, args.centre) == ("resnet50", False)
    with pytest.raises(ValueError, match="2 problems"):
        parse_search(["--pretrained", "none", "--batch-size", "0", "--knn-t", "0"])


def test_script_counts_arguments_and_passes_flags_on(photo_tree: Path, tmp_path: Path) -> None:
    script = ROOT / "run_retrieval.sh"
    environment = {**os.environ, "PYTHON": sys.executable}

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([script, *map(str, words)], cwd=tmp_path, env=environment,
                              capture_output=True, text=True, check=False)

    wrong = call("bird", photo_tree, "none")
    assert wrong.returncode == 2 and "usage" in wrong.stderr
    relative = photo_tree.relative_to(tmp_path)
    done = call("bird", relative, "none", "cpu", *SMALL[:6], "--results-dir", tmp_path / "out", "--cache", "none")
    assert done.returncode == 0, done.stderr
    assert read_row(tmp_path / "out/results.jsonl")["task"] == "bird"


def test_another_split_as_gallery_and_reranking_have_their_own_rows(
    run: Command, photo_tree: Path, tmp_path: Path
) -> None:
    common = ("--pretrained", "none", "--root", photo_tree, "--results_dir", "out")
    done = run(*common, "--protocol", "query-gallery", "--rerank", "k-reciprocal", "--k1", 5, "--k2", 2)
    assert done.returncode == 0, done.stderr
    assert "12 test images query 24 train images" in done.stdout and "k-reciprocal k1=5" in done.stdout
    row = read_row(tmp_path / "out/results.jsonl")
    assert row["details"]["protocol"] == "query-gallery, test asks train, full ranking"
    assert row["details"]["rerank"] == "k-reciprocal k1=5 k2=2 lambda=0.3" and "nmi" not in row["metrics"]
    with open(tmp_path / "out/per_query.csv", newline="") as file:
        assert all(line["near1"].startswith("train/") for line in csv.DictReader(file))
    plain = run(*common)
    assert plain.returncode == 0, plain.stderr
    metrics = read_row(tmp_path / "out/results.jsonl")["metrics"]
    assert {"map_at_r", "map_c_legacy", "recall_at_1", "mrr", "nmi", "ami", "f1", "dist_intra"} <= set(metrics)
    lines = collect(read_results(tmp_path / "out/results.jsonl"))
    assert len(lines) == 2 and "k-reciprocal" in lines[0].protocol and "query-gallery" in lines[0].protocol
    assert lines[1].protocol == "backbone, full image, eval 32 px, test"


def test_class_disjoint_retrieval_wants_disjoint_classes(run: Command, photo_tree: Path, tmp_path: Path) -> None:
    common = ("--pretrained", "none", "--protocol", "class-disjoint", "--results_dir", "out")
    assert_refused(run("--root", photo_tree, *common), "3 classes are in train and in test", "Red_bird")
    shutil.rmtree(photo_tree / "train" / "002.Green_bird")
    shutil.rmtree(photo_tree / "train" / "003.Blue_bird")
    shutil.rmtree(photo_tree / "test" / "001.Red_bird")
    done = run("--root", photo_tree, *common)
    assert done.returncode == 0, done.stderr
    assert read_row(tmp_path / "out/results.jsonl")["details"]["protocol"] == "class-disjoint, full ranking"
