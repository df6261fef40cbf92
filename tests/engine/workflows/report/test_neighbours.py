"""Which queries are shown, and that the page has them before and after training."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine.flags.pretrain.arguments import parse
from engine.workflows.build import build
from engine.workflows.pretrain.system import PRETRAIN
from engine.workflows.report.neighbours import choose_queries
from engine.workflows.report.page import PAGE
from evaluation.ledger import read_results
from evaluation.reports.run.neighbours import load_neighbourhood
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from tests.engine.workflows.report.reading import Page

CPU = torch.device("cpu")
MOCO = ["--method", "moco", "--crop-root", "none", "--device", "cpu", "-a", "test_resnet", "--size", "32", "--batch-size", "8", "--lr",
        "0.01", "--precision", "fp32", "--num-workers", "0", "--threads", "1", "--epochs", "1", "--cache", "none"]


def searched(precision: list[float], labelled: bool = True) -> SimpleNamespace:
    """As much of a search as choosing queries reads; an average precision of 0 was no query."""
    values = torch.tensor(precision)
    scores = SimpleNamespace(first_hit=(values > 0).long(), average_precision=values)
    return SimpleNamespace(images=precision, measured=SimpleNamespace(scores=scores) if labelled else None)


def test_a_third_is_typical_a_third_the_worst_and_the_rest_drawn() -> None:
    precision = [0.0, 0.9, 0.1, 0.5, 0.52, 0.7, 0.2, 0.3, 1.0, 0.48, 0.6, 0.0]
    chosen = choose_queries(searched(precision), 7, seed=1)
    by_mark = {mark: [one.index for one in chosen if one.mark == mark] for mark in ("typical", "random", "worst")}
    assert list(dict.fromkeys(one.mark for one in chosen)) == ["typical", "random", "worst"]
    queries = [index for index, value in enumerate(precision) if value]
    assert by_mark["worst"] == sorted(queries, key=lambda index: precision[index])[:2]
    median = sorted(precision[index] for index in queries)[(len(queries) - 1) // 2]
    assert by_mark["typical"] == sorted(queries, key=lambda index: abs(precision[index] - median))[:2]
    assert len(by_mark["random"]) == 3 and len({one.index for one in chosen}) == 7
    assert {one.index for one in chosen} <= set(queries)
    assert choose_queries(searched(precision), 7, seed=1) == chosen != choose_queries(searched(precision), 7, seed=2)


def test_few_images_and_images_without_labels() -> None:
    assert sorted(one.index for one in choose_queries(searched([0.5, 0.25]), 10, seed=0)) == [0, 1]
    drawn = choose_queries(searched([0.0] * 9, labelled=False), 4, seed=0)
    assert len(drawn) == 4 and {one.mark for one in drawn} == {"random"}


def test_neighbours_before_and_after_are_on_the_page_under_their_file_names(photo_tree: Path, tmp_path: Path) -> None:
    start, folder = tmp_path / "start.pth", tmp_path / "run"
    torch.manual_seed(1)
    save_encoder(Encoder(build_backbone("test_resnet"), None, None).eval(), start, {"method": "moco"})
    build(PRETRAIN, parse([*MOCO, "--root", str(photo_tree), "--pretrained", str(start), "--test", "--results-dir", str(folder)]), CPU).train()
    found = load_neighbourhood(folder)
    assert found is not None and [when for when, _ in found.looks] == ["before training", "after training"]
    assert str(start) in found.looks[0][1] and "mAP" in found.looks[0][1]
    assert len(found.queries) == 10 and all(len(query.found) == 2 for query in found.queries)
    with open(folder / "retrieval" / "per_query.csv", newline="") as file:
        near = {row["path"]: [row[f"near{place}"] for place in range(1, 6)] for row in csv.DictReader(file)}
    for query in found.queries:
        assert [thumb.file for thumb in query.found[1]][:5] == near[query.asked.file]
        assert all(thumb.right == (thumb.name == query.asked.name) for row in query.found for thumb in row)
    assert len(read_results(folder / "results.jsonl")) == 1  # the look before training adds no row
    for page in (Page((place / PAGE).read_text(encoding="utf-8")) for place in (folder, folder / "retrieval")):
        told = " ".join(page.words)
        assert all(f"{mark} queries: " in told for mark in ("Typical", "Random", "Worst"))
        assert {thumb.file.split("/")[-1] for query in found.queries for thumb in query.found[0]} <= set(page.words)
        assert all(link.startswith("data:") for link in page.links) and all(alt.strip() for alt, _ in page.pictures)


@pytest.mark.parametrize("words", [["--pretrained", "none"]])
def test_a_random_start_is_not_searched(photo_tree: Path, tmp_path: Path, words: list[str]) -> None:
    folder = tmp_path / "run"
    build(PRETRAIN, parse([*MOCO, *words, "--root", str(photo_tree), "--test", "--results-dir", str(folder)]), CPU).train()
    found = load_neighbourhood(folder)
    assert found is not None and [when for when, _ in found.looks] == ["after training"]
