"""The study of label-free numbers: the correlation by hand, and the command on tiny photographs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from benchmarks.studies.labelfree.__main__ import main
from evaluation.labelfree.correlation import correlate
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from models.heads import build_head
from runtime.errors import ConfigError


def test_correlations_know_which_way_is_better() -> None:
    rows = [{"rankme": float(i), "alpha": 1 + 0.1 * i, "alignment": float(i), "knn": i / 9, "map": -i / 9, "linear": i * i / 9}
            for i in range(9)]
    told = correlate(rows)
    assert told["rankme"] == pytest.approx({"knn": 1, "map": -1, "linear": 1})
    assert told["alpha"]["knn"] == pytest.approx(-1)  # ever further from 1
    assert told["alignment"]["knn"] == pytest.approx(-1)  # ever further apart
    assert "views" not in told


@pytest.mark.filterwarnings("ignore:")
def test_the_command_leaves_both_tables(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        torch.manual_seed(seed)
        backbone = build_backbone("test_resnet")
        save_encoder(Encoder(backbone, build_head([backbone.num_features, 8])).eval(), tmp_path / f"net_{seed}.pth", {})
    words = ["--task", "tiny", "--root", str(photo_tree), "--out", "out", "--num-workers", "0", "--threads", "1", "--size", "32",
             "--seeds", "0", "1", "--teacher", "net_0.pth", "net_1.pth"]
    main([*words, "--row", "net=net_{seed}.pth", "--row", "one=net_1.pth"])
    with open("out/tiny_labelfree_networks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["net"] * 12 + ["one"] * 6
    assert [row["feature"] for row in rows[:6]] == ["backbone", "backbone, centred", "head", "joint 0.25", "joint 0.5", "joint 0.75"]
    assert rows[6]["teacher"] == rows[12]["teacher"]  # the same network
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("knn", "map", "linear", "teacher", "views"))
    assert "rankme" in Path("out/tiny_labelfree.md").read_text() and "| teacher |" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="--row net is given 2 times"):
        main([*words, "--row", "net=net_0.pth", "--row", "net=net_1.pth"])
