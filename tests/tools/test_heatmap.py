"""The heat map command on runs with and without boxes, with and without a loss."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.flags.command import exit_cleanly
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from models.heads import ProjectionHead
from tools.heatmap import main


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    flags = ["--size", "64", "--device", "cpu", "--num-workers", "0", "--cache", "none", "--shown", "4"]
    monkeypatch.setattr(sys, "argv", ["heatmap", *map(str, words), *flags])
    exit_cleanly(main)


def read(folder: Path) -> list[dict[str, str]]:
    with open(folder / "heatmap.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_scores_and_sheet_of_an_encoder_with_head_and_branch(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    encoder = Encoder(build_backbone("resnet18"), ProjectionHead(512, 16, 8), RationaleBranch(512, 4))
    save_encoder(encoder, tmp_path / "model.pth", {})
    keys = sorted(path.relative_to(photo_tree).as_posix() for path in photo_tree.glob("test/*/*.jpg"))
    (photo_tree / "boxes.csv").write_text("path,x1,y1,x2,y2\n" + "".join(f"{key},16,12,48,36\n" for key in keys[:-1]))
    energies = {}
    for sign in ("loss", "similarity"):
        run(monkeypatch, "--pretrained", tmp_path / "model.pth", "--root", photo_tree, "--out", tmp_path / sign,
            "--cam-sign", sign)
        energies[sign] = [row["cam_energy"] for row in read(tmp_path / sign)]
    rows, shown = read(tmp_path / "loss"), capsys.readouterr().out
    assert len(rows) == len(keys) + 1 and rows[-1]["path"] == "MEAN" and rows[-2]["area"] == ""
    assert float(rows[0]["area"]) == pytest.approx(32 * 24 * (73 / 48) ** 2 / 64**2, abs=0.001)
    assert 0 < float(rows[-1]["rationale_energy"]) < 1 and 0 < float(rows[-1]["norm_energy"]) < 1
    assert energies["loss"] != energies["similarity"]
    assert "a uniform map" in shown and "InfoNCE" in shown
    assert Image.open(tmp_path / "loss" / "heatmap.png").size[0] > 600


def test_weights_without_head_or_boxes(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--pretrained", "none", "-a", "resnet18", "--root", photo_tree, "--out", tmp_path / "heat")
    shown = capsys.readouterr().out
    assert "no head" in shown and "no boxes" in shown and (tmp_path / "heat" / "heatmap.png").exists()
