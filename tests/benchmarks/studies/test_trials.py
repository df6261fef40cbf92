"""Recipes over seeds: the table against predictions made by hand, branches, messages."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.studies.options import parse_recipe
from benchmarks.studies.trials import main
from datasets.images import scan
from datasets.views.recipes import View
from evaluation.classifier.classify import classify
from models.classifiers.classifier import Classifier
from models.classifiers.file import load_classifier, save_classifier
from runtime.errors import ConfigError

CLASSES = ("001.Red_bird", "002.Green_bird", "003.Blue_bird")


@pytest.fixture
def networks(tmp_path: Path) -> str:
    """Random classifiers with two heads for two seeds."""
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_classifier(Classifier("test_resnet", 3, second_head=True).eval(), tmp_path / f"net_{seed}.pth",
                        class_names=CLASSES, sources=[], view={"recipe": "warp", "size": 32}, meta={})
    return str(tmp_path / "net_{seed}.pth")


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["trials", "--seeds", "0", "1", "--draws", "100", "-j", "0", "--device", "cpu", *words])
    main()


def test_the_table_holds_what_the_networks_say(
    monkeypatch: pytest.MonkeyPatch, photo_tree: Path, tmp_path: Path, networks: str
) -> None:
    run(monkeypatch, "--root", str(photo_tree), "--out", str(tmp_path / "out"), "--task", "birds", "--row", f"own={networks}",
        "--row", f"first={networks}:cls", "--row", f"again={networks}", "--against", "own")
    with open(tmp_path / "out" / "birds_trials.csv", encoding="utf-8", newline="") as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    images = scan(photo_tree, "test")
    for label, branch in (("own", "average"), ("first", "cls")):
        shares = []
        for seed in (0, 1):
            saved = load_classifier(networks.format(seed=seed))
            predictions = classify(saved.network, images, View("full", "warp", 32))
            shares.append(float((predictions.logits[branch].argmax(1) == images.labels).float().mean()))
        assert rows[label]["by seed"] == ", ".join(f"{100 * share:.1f}" for share in shares)
        assert float(rows[label]["top-1"].split()[0]) == pytest.approx(100 * sum(shares) / 2, abs=0.051)
    assert rows["own"]["more than own"] == "–" and rows["again"]["more than own"] == "+0.0 [+0.0, +0.0] inconclusive"


def test_messages_name_every_fault_and_the_branches(
    monkeypatch: pytest.MonkeyPatch, photo_tree: Path, networks: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(monkeypatch, "--root", str(photo_tree), "--row", "a=gone_{seed}.pth", "--against", "b")
    assert all(text in str(caught.value) for text in ("--against b", "gone_0.pth", "gone_1.pth"))
    with pytest.raises(ConfigError, match="average"):
        run(monkeypatch, "--root", str(photo_tree), "--row", f"a={networks}:combiner")
    assert parse_recipe("a = b.pth:highest-2").branch == "highest-2"
