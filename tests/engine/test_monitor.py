"""Monitors: retrieval belongs to the val split, and curves have a place for what methods log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from datasets.images import scan
from datasets.views.recipes import View
from engine.curves import choose_panels, draw_curves
from engine.flags.pretrain.arguments import parse
from engine.monitor import Monitor
from engine.workflows.pretrain.system import load_validation
from methods.byol import ByolOptions
from methods.lcr import LcrByol
from methods.rationale import RationaleOptions
from models.backbones import build_backbone
from runtime.errors import DataError


def flags(root: Path) -> object:
    return parse(["--root", str(root), "--method", "lcr-byol", "--pretrained", "none", "--device", "cpu"])


def test_retrieval_is_measured_on_val_and_refused_without(photo_tree: Path) -> None:
    with pytest.raises(DataError, match="val"):
        load_validation(flags(photo_tree))
    shutil.copytree(photo_tree / "test", photo_tree / "val")
    validation = load_validation(flags(photo_tree))
    method = LcrByol(build_backbone("resnet18"), ByolOptions(dim=4, hidden=8), RationaleOptions())
    monitor = Monitor(scan(photo_tree), View("full", "eval", 64), torch.device("cpu"), "fp32", validation=validation)
    row = monitor(method, 0)
    assert {"val_rank1_masked", "val_map_masked", "val_rank1_backbone", "knn_masked"} <= row.keys()
    assert 0 <= row["val_map_masked"] <= 1 and len(validation) == 12 and validation.split == "val"


def test_val_of_single_images_is_refused(photo_tree: Path) -> None:
    for folder in (photo_tree / "test").iterdir():
        (photo_tree / "val" / folder.name).mkdir(parents=True)
        shutil.copy(sorted(folder.iterdir())[0], photo_tree / "val" / folder.name)
    with pytest.raises(DataError, match="two images"):
        load_validation(flags(photo_tree))


def test_both_target_entropies_are_drawn(tmp_path: Path) -> None:
    rows = [{"kind": "epoch", "epoch": n, "loss1": 1.0, "cam": 2.0, "cam_entropy": 0.3, "cam_entropy_seed": 1.0,
             "val_map_masked": 0.5} for n in range(2)]  # fmt: skip
    panels = choose_panels(rows, LcrByol.loss_terms, LcrByol.shares)
    assert panels["loss terms"] == ["loss1", "cam"]
    assert panels["entropy of CAM targets (1 = uniform)"] == ["cam_entropy", "cam_entropy_seed"]
    assert panels["retrieval on the val split"] == ["val_map_masked"]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_a_network_of_nan_is_not_monitored_and_training_goes_on(
    photo_tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = LcrByol(build_backbone("test_resnet"), ByolOptions(size=32, dim=8, hidden=16), RationaleOptions())
    with torch.no_grad():
        next(iter(method.parameters())).view(-1)[0] = float("nan")
    monitor = Monitor(scan(photo_tree, "test"), View("full", "eval", 32), torch.device("cpu"), "fp32")
    assert monitor(method, 4) == {} and "epoch 5 is not monitored: the network returns NaN" in capsys.readouterr().err
