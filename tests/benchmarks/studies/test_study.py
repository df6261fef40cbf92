"""Studies on tiny photographs: agreement with the other commands, seeds, ensembles, files, and one message of faults."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.studies.figure import draw_report_figure
from benchmarks.studies.networks import METRICS, SplitPair, score_images, shape_rows
from benchmarks.studies.options import StudyRow, parse_study_row
from benchmarks.studies.study import main
from datasets.images import scan
from evaluation.ledger import read_results
from evaluation.metrics.knn import knn_accuracy
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.reports.ledger_report import END, START, insert, write_tables
from evaluation.reports.study_table import list_grids
from evaluation.retrieval.score import retrieve
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from models.heads import build_head
from models.teachers.prototypes import fit_space
from runtime.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    """Small random networks of two seeds, with head and branch: net_0.pth, net_1.pth."""
    for seed in (0, 1):
        torch.manual_seed(seed)
        backbone = build_backbone("test_resnet")
        width = backbone.num_features
        encoder = Encoder(backbone, build_head([width, 16, 8]), RationaleBranch(width, 4, "image")).eval()
        save_encoder(encoder, tmp_path / f"net_{seed}.pth", {})
    return tmp_path / "net_{seed}.pth"


@pytest.fixture
def noise_tree(photo_tree: Path) -> Path:
    """The same tree of noise, so that no network is always right."""
    rng = np.random.default_rng(3)
    for path in sorted(photo_tree.glob("*/*/*.jpg")):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).resize((10, 10)).resize((40, 40)).save(path)
    return photo_tree


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, root: Path, *words: str) -> Path:
    """The command in a folder of its own; where it wrote."""
    monkeypatch.chdir(folder)
    common = ["--task", "tiny", "--root", str(root), "--out", "out", "--num-workers", "0", "--threads", "1", "--draws", "200"]
    monkeypatch.setattr(sys, "argv", ["study", *common, *words])
    main()
    return folder / "out"


def test_rows_seeds_pairs_and_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], noise_tree: Path, networks: Path, tmp_path: Path
) -> None:
    frozen = str(networks).replace("{seed}", "0")
    rows = [f"frozen={frozen}@32", f"frozen again={frozen}@32", f"ours={networks}@32:head", f"both={frozen}+{frozen}@32",
            f"few={frozen}@32:masked,pca=3"]
    out = run(monkeypatch, tmp_path, noise_tree, "--seeds", "0", "1", "--against", "frozen", *(f"--row={row}" for row in rows))
    kept = np.load(out / "tiny.npz")
    assert kept["verdicts"].shape == (5, 2, 5, 12) and list(kept["metrics"]) == list(METRICS)
    assert (kept["verdicts"][0, 0] == kept["verdicts"][0, 1]).all() and (kept["verdicts"][2, 0] != kept["verdicts"][2, 1]).any()
    found = {row["label"]: row for row in read_results(out / "results.jsonl")}
    ours = found["ours"]["metrics"]
    assert ours["map"] == pytest.approx(kept["verdicts"][2, :, 2].mean()) and ours["map_low"] <= ours["map"] <= ours["map_high"]
    assert found["frozen again"]["details"]["against"]["frozen"]["map"] == {
        "mean": 0.0, "low": 0.0, "high": 0.0, "excludes_zero": False}
    assert found["both"]["centred"] and found["few"]["details"]["pca"] == 3 and "frozen" not in found["frozen"]["details"]["against"]
    pairs = list(csv.DictReader((out / "tiny_pairs.csv").read_text().splitlines()))
    assert len(pairs) == 4 * 5 and {row["against"] for row in pairs} == {"frozen"}
    assert [row["row"] for row in csv.DictReader((out / "tiny.csv").read_text().splitlines())] == list(found)
    printed = capsys.readouterr().out
    assert "**tiny, difference from frozen**" in printed and "| frozen again | +0.0 [+0.0, +0.0] |" in printed
    draw_report_figure([], [str(out / "results.jsonl")], tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 3000


def test_all_bad_rows_are_named_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch, photo_tree: Path, networks: Path, tmp_path: Path
) -> None:
    frozen = str(networks).replace("{seed}", "1")
    words = [f"--row=good={frozen}@32", "--row=absent=nowhere_{seed}@32", f"--row=much={frozen}@32:head,pca=9",
             "--row=bare=none@32:masked"]
    with pytest.raises(ConfigError) as error:
        run(monkeypatch, tmp_path, photo_tree, *words, "--seeds", "0", "1")
    text = str(error.value)
    assert "absent: --pretrained nowhere_0" in text and "nowhere_1" in text and "much: pca=9: there are 8" in text
    assert "bare: --feature masked" in text and "good" not in text and not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="twice|2 times"):
        run(monkeypatch, tmp_path, photo_tree, words[0], words[0], "--against", "other")


def test_scores_are_those_of_the_other_measures(photo_tree: Path) -> None:
    pair = SplitPair(scan(photo_tree, "train"), scan(photo_tree, "test"))
    train, test = normalise_embeddings(torch.randn(24, 6)), normalise_embeddings(torch.randn(12, 6))
    ours = score_images(train, test, pair, seed=0)
    scores = retrieve(test, pair.test.labels)
    wanted = [scores.rank1, scores.rank5, scores.map, knn_accuracy(train, pair.train.labels, test, pair.test.labels)]
    assert ours[:4].mean(axis=1) == pytest.approx(wanted)
    assert set(ours[4]) <= {0.0, 1.0}


def test_an_ensemble_is_centred_and_gives_each_member_the_same_say() -> None:
    torch.manual_seed(1)
    train, test = [torch.randn(40, 3) + 5, 100 * torch.randn(40, 7)], [torch.randn(9, 3) + 5, 100 * torch.randn(9, 7)]
    row = StudyRow("both", "a+b", 32, centred=True)
    shaped, asked = shape_rows(row, train, test)
    louder, _ = shape_rows(row, [train[0], 7 * train[1]], [test[0], 7 * test[1]])
    assert torch.allclose(shaped, louder, atol=1e-5) and asked.shape == (9, 10)
    raw, _ = shape_rows(StudyRow("one", "a", 32), train[:1], test[:1])
    assert torch.equal(raw, normalise_embeddings(train[0]))


def test_row_words() -> None:
    assert parse_study_row("a, b=package:efficientnet-lite0@128") == StudyRow("a, b", "package:efficientnet-lite0", 128)
    assert parse_study_row("a=x@y_{seed}.pth@96:gap,centred").centred and parse_study_row("a=x@y.pth@96").source == "x@y.pth"
    assert parse_study_row("a=x+y@96:head,pca=12") == StudyRow("a", "x+y", 96, "head", centred=True, pca=12)
    assert parse_study_row("a=x_{seed}@8").members(3) == ("x_3",) and parse_study_row("a=x@8").seeds((4, 5)) == (4,)
    for wrong in ("a", "a=b", "=b@32", "a=b@c", "a=b@32:tail", "a=b@32:head,pca=0", "a=b@32,loud", "a=@32", "a=b@0"):
        with pytest.raises(Exception, match="LABEL=SOURCE@SIZE"):
            parse_study_row(wrong)


def make_row(label: str, mean: float, **changes: object) -> dict[str, object]:
    """A study's row in a ledger, as tables read it."""
    metrics = {f"{metric}{end}": mean + shift for metric in METRICS for end, shift in (("", 0), ("_low", -0.1), ("_high", 0.1))}
    one = {"mean": mean - 0.5, "low": 0.05, "high": 0.2, "excludes_zero": mean > 0.5}
    details = {"against": {"base": dict.fromkeys(METRICS, one)} if label != "base" else {}, "seeds": [0, 1, 2],
               "trained_with_seed": label != "base", "processing": "backbone, 32 px"}
    return {"kind": "study", "task": "tiny", "label": label, "images": 12, "images_per_second": 9.6, "epoch": "last",
            "metrics": metrics, "details": details, **changes}


def test_tables_mark_the_best_and_what_excludes_zero_and_replace_older_rows() -> None:
    rows = [make_row("base", 0.5), make_row("ours", 0.4), make_row("ours", 0.625)]
    means, differences = list_grids(rows)
    assert [cells[0] for cells in means.cells] == ["base", "ours"] and "12 test images and 3 seeds" in means.caption
    assert means.cells[1][3] == "62.5 [52.5, 72.5]" and (1, 3) in means.strong and (0, 3) not in means.strong
    assert differences.cells[0][:2] == ("ours", "+12.5 [+5.0, +20.0]") and (0, 1) in differences.strong
    assert not list_grids([make_row("base", 0.5), make_row("ours", 0.5)])[1].strong


def test_ledgers_of_studies_go_through_report(tmp_path: Path) -> None:
    ledger = tmp_path / "study.jsonl"
    ledger.write_text("".join(json.dumps(row) + "\n" for row in (make_row("base", 0.5), make_row("ours", 0.625))))
    table = write_tables([str(ledger)])
    assert table.startswith("**tiny**") and "**62.5 [52.5, 72.5]**" in table
    assert insert(f"{START}\n{table}\n{END}", table) == f"{START}\n{table}\n{END}"


def test_published_results_are_what_the_ledger_says() -> None:
    text = (ROOT / "docs" / "results_tables.md").read_text(encoding="utf-8")
    assert insert(text, write_tables([str(ROOT / "docs" / "study.jsonl")])) == text


def test_whitening_is_that_of_the_fitted_space() -> None:
    row = parse_study_row("x=a.pth@64:joint,pca=4,whiten=0.5")
    assert (row.feature, row.pca, row.whiten, row.centred) == ("joint", 4, 0.5, True)
    assert row.describe() == "joint, centred, PCA 4, whitened 0.5, 64 px"
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randn(count, 6, generator=generator) for count in (40, 9))
    space = fit_space(train, 4, whiten=0.5)
    for ours, theirs in zip(shape_rows(row, [train], [test]), (space.project(train), space.project(test))):
        assert torch.equal(ours, theirs)
    with pytest.raises(argparse.ArgumentTypeError, match="whiten=P"):
        parse_study_row("x=a.pth@64:joint,whiten=2")
