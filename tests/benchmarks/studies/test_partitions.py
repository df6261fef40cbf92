"""Studies over class-disjoint splits: intervals against their definition, the command on tiny photographs, messages."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.studies import class_splits as module
from benchmarks.studies.class_splits import (
    Look,
    embed_unseen,
    estimate_differences,
    estimate_means,
    find_run_faults,
    score_queries,
)
from benchmarks.studies.options import parse_study_network
from benchmarks.studies.partitions import main
from benchmarks.studies.plain_table import format_estimate
from evaluation.features.extract import Features
from evaluation.retrieval.rerank import Reranking
from evaluation.retrieval.score import retrieve
from models.backbones import build_backbone
from models.encoder import Encoder, load_encoder, save_encoder
from models.heads import build_head
from runtime.errors import ConfigError


def make_parts(rng: np.random.Generator) -> list[np.ndarray]:
    """Two rows, three seeds, and other numbers of queries in each of four partitions; the second row is 0.1 above."""
    parts = [rng.random((1, 3, queries)) for queries in (20, 31, 25, 40)]
    return [np.concatenate([part, part + 0.1]) for part in parts]


def test_a_mean_weighs_partitions_alike_and_a_constant_difference_has_no_width() -> None:
    parts = make_parts(np.random.default_rng(0))
    first, second = estimate_means(parts, draws=300)
    assert first.mean == pytest.approx(np.mean([part[0].mean() for part in parts]))
    assert first.low < first.mean < first.high and first.high - first.low > 0.02
    same, gain = estimate_differences(parts, 0, draws=300)
    assert (same.mean, same.low, same.high) == (0, 0, 0)  # a row less itself leaves zeros, whatever their weights
    assert gain.mean == pytest.approx(0.1) and gain.high - gain.low < 1e-9 and gain.excludes_zero
    assert second.mean == pytest.approx(first.mean + 0.1)


def test_partitions_that_disagree_widen_the_interval() -> None:
    agree = [np.full((1, 2, 50), 0.5) for _ in range(4)]
    differ = [np.full((1, 2, 50), value) for value in (0.2, 0.4, 0.6, 0.8)]
    (narrow,), (wide,) = estimate_means(agree, draws=400), estimate_means(differ, draws=400)
    assert narrow.high - narrow.low < 1e-9 and wide.high - wide.low > 0.3
    with pytest.raises(ValueError, match="no partition"):
        estimate_means([])


def test_differences_say_whether_they_count() -> None:
    gain, = estimate_means([np.full((1, 1, 9), 0.25)], draws=10)
    assert format_estimate(gain, difference=True) == "**+25.0 [+25.0, +25.0]**"
    nothing, = estimate_means([np.array([[[-0.5, 0.5] * 20]])], draws=200)
    assert format_estimate(nothing, difference=True).endswith("inconclusive")


@pytest.fixture
def networks(tmp_path: Path) -> str:
    """Random networks with an embedding layer for two partitions and two seeds."""
    for partition in (0, 1):
        for seed in (0, 1):
            torch.manual_seed(10 * partition + seed)
            backbone = build_backbone("test_resnet")
            encoder = Encoder(backbone, build_head([backbone.num_features, 8])).eval()
            save_encoder(encoder, tmp_path / f"net_{partition}_{seed}.pth", {})
    return str(tmp_path / "net_{partition}_{seed}.pth")


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Six classes of four noisy photographs."""
    rng = np.random.default_rng(1)
    for number in range(6):
        folder = tmp_path / "photos" / f"class{number}"
        folder.mkdir(parents=True)
        for image in range(4):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{image}.png")
    return tmp_path / "photos"


def test_the_command_agrees_with_retrieval_and_writes_both_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, networks: str, classes: Path
) -> None:
    out = tmp_path / "out"
    words = ["--root", str(classes), "--out", str(out), "--task", "tiny", "--partitions", "0", "1", "--seeds", "0", "1",
             "--row", f"one={networks.replace('{partition}', '0').replace('{seed}', '0')}", "--row", f"all={networks}",
             "--against", "one", "--rerank", "aqe", "--size", "32", "--draws", "100", "-j", "0", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["partitions", *words])
    main()
    rows = list(csv.reader((out / "tiny_partitions.csv").read_text(encoding="utf-8").splitlines()))
    assert [row[:2] for row in rows[1:3]] == [["one", "cosine"], ["all", "cosine"]] and len(rows) == 5
    look = Look(str(classes), None, "base", 32, 0, "cpu")
    means = []
    for partition in (0, 1):
        images = look.unseen(partition)
        for seed in (0, 1):
            found = embed_unseen(networks.format(partition=partition, seed=seed), images, look)
            means.append(retrieve(found, images.labels).map)
    assert float(rows[2][4].split()[0]) == pytest.approx(100 * np.mean(means), abs=0.051)
    assert (out / "tiny_partitions.md").read_text().count("\n") == 6
    plain = score_queries(found, images.labels, Reranking())
    assert plain["mAP"].mean() == pytest.approx(means[-1])


def test_one_message_names_every_fault(monkeypatch: pytest.MonkeyPatch, classes: Path) -> None:
    words = ["--root", str(classes), "--row", "a=gone_{seed}.pth", "--against", "b", "--seeds", "0", "1"]
    monkeypatch.setattr(sys, "argv", ["partitions", *words])
    with pytest.raises(ConfigError) as caught:
        main()
    assert all(text in str(caught.value) for text in ("--against b", "gone_0.pth", "gone_1.pth"))
    assert parse_study_network("x = y").source == "y"


def test_a_network_is_seen_as_its_run_was_and_only_on_classes_it_does_not_know(
    networks: str, photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"method": "obdsd", "partition": 0, "size": 24, "augmentation": "big", "crop_bottom": 3}
    file = tmp_path / "run" / "model_last.pth"
    save_encoder(load_encoder(networks.format(partition=0, seed=0)), file.parent.mkdir() or file, settings)
    seen = []
    monkeypatch.setattr(module, "extract", lambda outputs, images, view, **how: seen.append((view, how)) or found)
    found = Features({"backbone": torch.eye(3)}, torch.arange(3), [], 1.0)
    embed_unseen(str(file), None, Look(str(photo_tree), None, "base", 224, 0, "cpu"))
    ((view, how),) = seen
    assert (view.recipe, view.size, how["crop_bottom"]) == ("short-exact", 24, 3)
    assert not find_run_faults(str(file), 0, {"size": 24, "dataset": None})
    faults = find_run_faults(str(file), 1, {"size": 32})
    assert "--partition 0, not 1: classes that it knows" in faults[0] and "--size 24, not 32" in faults[1]
