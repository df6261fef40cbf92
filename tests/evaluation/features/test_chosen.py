"""--feature auto is what a run chose without labels, and its file says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import main_pretrain
from evaluation.features import chosen
from evaluation.features.chosen import choose_feature, read_chosen
from evaluation.features.subject import find_feature
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from models.heads import build_head

TINY = ["--pretrained", "none", "--device", "cpu", "--precision", "fp32", "--threads", "1", "--num-workers", "0", "-a", "test_resnet",
        "--size", "32", "--epochs", "2", "--batch-size", "8", "--crop-root", "none"]
TEACHER = ["--teacher", "test_resnet", "--teacher-weights", "none", "--teacher-size", "32", "--prototypes", "4", "--cache", "none",
           "--teacher-precision", "fp32"]


def test_a_student_that_meets_its_teacher_is_seen_through_its_head() -> None:
    assert [choose_feature(share) for share in (0.0, 0.42, 0.549, 0.55, 0.93)] == ["backbone"] * 3 + ["head"] * 2


def test_auto_is_what_the_file_says_else_what_there_is(tmp_path: Path) -> None:
    backbone = build_backbone("test_resnet")
    head = build_head([backbone.num_features, 8])
    plain, whole = Encoder(backbone, head), Encoder(backbone, head, RationaleBranch(backbone.num_features))
    for name, meta in (("head", {"feature": "head"}), ("backbone", {"feature": "backbone"}), ("none", {})):
        save_encoder(whole, tmp_path / name, meta)
    assert [find_feature("auto", whole, tmp_path / name) for name in ("head", "backbone", "none", "absent")] == [
        "head", "backbone", "masked", "masked"]
    assert find_feature("auto", plain, tmp_path / "none") == "backbone"
    assert find_feature("gap", whole, tmp_path / "head") == "backbone"  # who names one gets it


@pytest.mark.filterwarnings("ignore:teacher")
def test_a_run_says_what_it_chose(
    photo_tree: Path, tmp_path: Path, call_main: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for floor, name in ((0.0, "head"), (1.1, "backbone")):
        monkeypatch.setattr(chosen, "AGREES", floor)
        done = call_main(main_pretrain.main, *TINY, *TEACHER, "--root", photo_tree, "--results-dir", name)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        last = [row for row in rows if row["kind"] == "epoch"][-1]
        assert read_chosen(tmp_path / name / "model_last.pth") == name
        assert f"prototype of {100 * last['agreement']:.0f} % of the images: --feature auto is the {name}" in done.stdout


def test_a_run_without_a_teacher_chooses_nothing(photo_tree: Path, tmp_path: Path, call_main: Callable) -> None:
    done = call_main(main_pretrain.main, *TINY, "--method", "moco", "--moco-k", "64", "--root", photo_tree, "--results-dir", "run")
    assert done.returncode == 0 and "--feature auto" not in done.stdout
    assert read_chosen(tmp_path / "run" / "model_last.pth") is None
