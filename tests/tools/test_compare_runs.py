"""Finished runs compared query by query: one protocol or a refusal, intervals, flags and curves."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.flags.compare import CompareOptions, list_compare_problems, parse_compared_network
from engine.overlay import choose_numbers
from evaluation.ledger import append_result
from evaluation.metrics.bootstrap import DRAWS
from evaluation.reports.grid import Grid
from evaluation.reports.latex import latex_grid
from evaluation.reports.paired import read_per_query
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from tools.compare import main

Call = Callable[..., subprocess.CompletedProcess[str]]
AP = {"good": [0.9, 0.8, 0.7, 0.6], "bad": [0.5, 0.3, 0.3, 0.1]}
ROW = {"kind": "retrieval", "task": "t", "split": "test", "dataset_sha256": "d", "images": 5, "weights": "w", "weights_sha256": "s",
       "arch": "a", "feature": "backbone", "input": "full", "view": "eval", "size": 32, "centred": False, "images_per_second": 1.0,
       "metrics": {"map": 0.5, "rank1": 0.5, "knn": 0.625, "nmi": 0.25}, "epoch": "", "method": "lead",
       "details": {"protocol": "leave-one-out in test, full ranking", "rerank": "", "queries": 4, "knn_protocol": "leave-one-out in test"}}


def make_run(name: str, aps: list[float], *, flags: dict[str, object] | None = None, **changes: object) -> Path:
    """A finished run under checkpoints/ that was searched: five images, the last of which has no other of its class."""
    folder = Path("checkpoints") / name
    (folder / "retrieval").mkdir(parents=True)
    (folder / "model_last.pth").write_bytes(b"")
    (folder / "args.json").write_text(json.dumps({"lr": 0.1, "seed": 1, "results_dir": name, **(flags or {})}))
    epochs = [{"kind": "epoch", "epoch": epoch, "total": 1.0 / (epoch + 1), "own": 1.0} for epoch in range(3)]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in epochs))
    append_result(folder / "retrieval" / "results.jsonl", {**ROW, **changes})
    lines = [f"{place}.jpg,c,{1 if ap > 0.5 else 3},{ap:.6f},x,{ap / 2:.6f}" for place, ap in enumerate(aps)]
    (folder / "retrieval" / "per_query.csv").write_text("\n".join(["path,class,first_hit,ap,near1,map_at_r", *lines, "4.jpg,c,,,x,"]) + "\n")
    return folder


@pytest.fixture
def two(call_main: Call) -> None:
    """Two runs in the current folder, which call_main has moved to."""
    make_run("good", AP["good"], flags={"lr": 0.2})
    make_run("bad", AP["bad"])


def naive_gain(draws: int = DRAWS) -> tuple[float, float, float]:
    """The paired interval by a plain loop over resamples, with the multinomial weights that the bootstrap draws."""
    difference = np.array(AP["good"]) - np.array(AP["bad"])
    rng = np.random.default_rng(0)
    counts = rng.multinomial(4, np.full(4, 1 / 4), size=draws)
    means = [sum(count * one for count, one in zip(row, difference)) / 4 for row in counts]
    return float(difference.mean()), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


@pytest.mark.usefixtures("two")
def test_runs_are_compared_query_by_query_and_written_in_every_form(call_main: Call) -> None:
    done = call_main(main, "bad", "good", "--metric", "map", "knn", "nmi", "map_at_r", "--markdown", "t.md", "--csv", "t.csv",
                     "--latex", "t.tex", "--figure", "t.png")
    assert done.returncode == 0, done.stderr
    mean, low, high = naive_gain()
    with open("t.csv", newline="") as file:
        rows = {(row["run"], row["metric"]): row for row in csv.DictReader(file)}
    gain = rows["good", "map"]
    assert [float(gain[name]) for name in ("difference", "difference_low", "difference_high")] == pytest.approx([mean, low, high])
    assert gain["excludes_zero"] == "1" and float(gain["mean"]) == pytest.approx(0.75) and gain["reference"] == "bad"
    assert float(rows["bad", "map"]["difference"]) == 0 and rows["bad", "nmi"] == {
        "run": "bad", "metric": "nmi", "mean": "0.25", "low": "", "high": "", "reference": "bad", "difference": "",
        "difference_low": "", "difference_high": "", "excludes_zero": ""}
    text = Path("t.md").read_text()
    assert text.strip() == done.stdout.strip()
    assert "| run | mAP | kNN, one left out | nmi | map_at_r |" in text and "kNN, train votes" not in text
    assert f"| good | **{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]** |" in text
    assert "| --lr | 0.1 | 0.2 |" in text and "--seed" not in text and "results" not in text
    assert "\\toprule" in Path("t.tex").read_text() and "map\\_at\\_r" in Path("t.tex").read_text()
    with Image.open("t.png") as picture:
        assert picture.width > 300


def test_the_reference_can_be_chosen_and_names_are_checked(call_main: Call, two: None) -> None:
    assert "difference from good" in call_main(main, "bad", "good", "--against", "good").stdout
    done = call_main(main, "bad", "good", "--against", "other")
    assert done.returncode == 2 and "name one of bad, good" in done.stderr
    done = call_main(main, "bad", "good", "--metric", "mapp")
    assert done.returncode == 2 and "--metric mapp: these runs have" in done.stderr
    done = call_main(main, "bad", "no_run", "nor_this")
    assert done.returncode == 2 and "no_run" in done.stderr and "nor_this" in done.stderr


def test_other_protocols_are_refused_and_every_field_is_named(call_main: Call) -> None:
    make_run("one", AP["good"])
    make_run("two", AP["bad"], size=64, centred=True)
    done = call_main(main, "one", "two", "--markdown", "t.md")
    assert done.returncode == 2 and "size: 32 (one), 64 (two)" in done.stderr and "centred: False (one), True (two)" in done.stderr
    assert "feature" not in done.stderr.partition("for each)")[2] and not Path("t.md").exists()


def test_a_reranked_run_is_not_compared_with_a_plain_one(call_main: Call) -> None:
    make_run("one", AP["good"])
    make_run("two", AP["bad"], details={**ROW["details"], "rerank": "aqe n=10"})
    done = call_main(main, "one", "two")
    assert done.returncode == 2 and "rerank: none (one), aqe n=10 (two)" in done.stderr


def test_knn_by_other_votes_is_another_column(call_main: Call) -> None:
    make_run("one", AP["good"])
    make_run("two", AP["bad"], details={**ROW["details"], "knn_protocol": "train to test"})
    done = call_main(main, "one", "two", "--metric", "knn")
    assert done.returncode == 0 and "| run | kNN, one left out | kNN, train votes |" in done.stdout
    assert "| one | **62.5** | – |" in done.stdout and "| two | – | **62.5** |" in done.stdout


def test_a_run_that_nobody_searched_is_searched(call_main: Call, photo_tree: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        folder = Path("checkpoints") / name
        folder.mkdir(parents=True)
        torch.manual_seed(seed)
        save_encoder(Encoder(build_backbone("test_resnet")), folder / "model_last.pth", {"size": 32})
        (folder / "args.json").write_text(json.dumps({"root": str(photo_tree), "size": 32, "task": "custom"}))
    done = call_main(main, "one", "two", "--device", "cpu", "-j", "0", "--cache", "none")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("was not searched yet") == 2 and "12 queries" in done.stdout
    assert "flags that differ" not in done.stdout and "**custom, test**" in done.stdout
    again = call_main(main, "one", "two")
    assert "not searched yet" not in again.stderr and again.stdout in done.stdout


def test_either_runs_or_networks() -> None:
    network = (parse_compared_network("a=b"),)
    assert "one or the other" in list_compare_problems(CompareOptions(runs=()))[0]
    assert "one or the other" in list_compare_problems(CompareOptions(runs=("a", "b"), network=network))[0]
    assert "--root" in list_compare_problems(CompareOptions(runs=(), network=network))[0]
    assert "two or more" in list_compare_problems(CompareOptions(runs=("a",)))[0]
    unread = CompareOptions(runs=("a", "b"), size=64, given={"size": "--size"})
    assert list_compare_problems(unread) == ["--size: read only with --network; leave it out"]
    unread = CompareOptions(runs=(), network=network, root="r", csv="x", given={"csv": "--csv"})
    assert list_compare_problems(unread) == ["--csv: read only with RUN RUN; leave it out"]
    assert list_compare_problems(CompareOptions(runs=("a", "b"), csv="x", markdown="x")) != []
    assert list_compare_problems(CompareOptions(runs=("a", "b"))) == list_compare_problems(CompareOptions(runs=(), network=network, root="r")) == []


def test_queries_are_read_with_what_was_skipped(tmp_path: Path) -> None:
    path = tmp_path / "per_query.csv"
    path.write_text("path,class,first_hit,ap,near1,mrr\na,c,1,0.5,x,1\nb,c,6,0.25,x,0.2\nc,c,,,x,\n")
    queries, values = read_per_query(path)
    assert queries == ("a", "b", "c") and list(values) == ["rank1", "rank5", "map", "mrr"]
    np.testing.assert_array_equal(values["rank5"], [1, 0, np.nan])
    np.testing.assert_array_equal(values["map"], [0.5, 0.25, np.nan])


def test_latex_takes_no_sign_for_a_command() -> None:
    grid = Grid("t_1", "5 %", ["run", "a&b"], [["x_y {\\z}", "1 – 2"]], numbers=[1], strong={(0, 1)})
    assert latex_grid(grid).splitlines() == [
        "% t_1. 5 %", "\\begin{tabular}{lr}", "\\toprule", "run & a\\&b \\\\", "\\midrule",
        "x\\_y \\{\\textbackslash{}z\\} & \\textbf{1 -- 2} \\\\", "\\bottomrule", "\\end{tabular}"]


def test_curves_that_two_runs_share_are_drawn() -> None:
    runs = {"a": [{"epoch": 0, "total": 1.0, "knn_b": 0.5, "alone": 1.0}], "b": [{"epoch": 0, "total": 2.0, "knn_b": 0.5, "entropy": None}],
            "c": [{"epoch": 0, "entropy": 0.5}]}
    assert choose_numbers(runs) == ["total", "knn_b"]
