"""Published files in the commands that take them, as a user calls them; networks are small, names are the real ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import main_finetune
import main_linear
import main_retrieval
from benchmarks.reference.pim_tokens import LastBlocks, ReferenceTokenPim
from benchmarks.reference.public_files import write_convnext, write_deit, write_lcr_byol, write_lcr_moco, write_lead
from engine.flags.command import exit_cleanly
from tools import evaluate, heatmap, infer

Run = Callable[..., str]
ENCODERS = {"LEAD": write_lead, "LCR by MoCo": write_lcr_moco, "LCR by BYOL": write_lcr_byol}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in this process, standing in tmp_path; it returns what was printed."""
    monkeypatch.chdir(tmp_path)

    def call(module: object, *words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["x", *map(str, words), "--device", "cpu", "--num-workers", "0"])
        capsys.readouterr()
        exit_cleanly(module.main)
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", [pytest.param("LEAD", marks=pytest.mark.slow), "LCR by MoCo",
                                  pytest.param("LCR by BYOL", marks=pytest.mark.slow)])
def test_pre_trained_networks_are_searched(name: str, run: Run, photo_tree: Path, tmp_path: Path) -> None:
    torch.save(ENCODERS[name]("resnet18"), tmp_path / "checkpoint_0099.pth.tar")
    said = run(main_retrieval, "--pretrained", "checkpoint_0099.pth.tar", "--root", photo_tree, "--size", 32, "--cache",
               "none", "--feature", "masked", "--results-dir", "out")
    assert "is taken" in said and "feature masked" in said and "resnet18" in said
    assert json.loads((tmp_path / "out/results.jsonl").read_text())["feature"] == "masked"


def test_lcrs_network_is_probed_and_is_a_start(run: Run, photo_tree: Path, tmp_path: Path) -> None:
    torch.save(write_lcr_moco("resnet18"), tmp_path / "x.pth.tar")
    said = run(main_linear, "--pretrained", "x.pth.tar", "--root", photo_tree, "--size", 32, "--cache", "none", "--input",
               "full", "--feature", "masked", "--epochs", 2, "--results-dir", "probe")
    assert "feature masked" in said
    said = run(main_finetune, "--root", photo_tree, "-a", "resnet18", "--finetune", "x.pth.tar", "--size", 32, "--epochs",
               1, "--batch-size", 6, "--precision", "fp32", "--results-dir", "tuned")
    assert "start weights: fc starts afresh: the file has none" in said and "12 test images" in said


def test_an_encoder_is_no_classifier_and_that_is_the_first_thing_said(
    run: Run, photo_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(write_lcr_moco("resnet18"), tmp_path / "x.pth.tar")
    with pytest.raises(SystemExit):
        run(evaluate, "--pretrained", "x.pth.tar", "--root", photo_tree, "--out", "e")
    assert "has no class head, it looks like resnet18; start training from it" in capsys.readouterr().err


def test_students_and_teachers_are_evaluated_and_taught(run: Run, photo_tree: Path, tmp_path: Path) -> None:
    student, teacher = "deit_tiny_distilled_patch16_224", "convnext_atto"
    torch.save(write_deit(student, 3, img_size=32), tmp_path / "best_checkpoint.pth")
    torch.save(write_convnext(teacher, 3), tmp_path / "checkpoint-best.pth")
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    for file, name in (("best_checkpoint.pth", student), ("checkpoint-best.pth", teacher)):
        said = run(main_finetune, "--eval", "--resume", file, "--model", name, "--root", photo_tree, "--size", 32,
                   "--results-dir", f"eval-{name}")
        assert "12 test images, 3 classes" in said
        run(infer, photo_tree / "test", "--pretrained", file, "--model", name, "--size", 32, "--class-names", "names.txt",
            "--labels", "none", "--out", f"infer-{name}")
        assert (tmp_path / f"infer-{name}/predictions.csv").read_text().count("\n") == 13
    said = run(main_finetune, "--method", "distill", "--finetune", "best_checkpoint.pth", "--model", student,
               "--teacher-path", "checkpoint-best.pth", "--teacher-model", teacher, "--root", photo_tree, "--size", 32,
               "--epochs", 1, "--batch-size", 6, "--precision", "fp32", "--results-dir", "distilled")
    assert "12 test images" in said and "starts afresh" not in said


def test_a_plug_in_module_around_a_vit_goes_through_every_command(
    run: Run, photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small ViT under the name `vit`; its file tells everything but that."""
    import timm

    import models.plug_in.presets as presets

    arch = "vit_tiny_patch16_224"
    small = presets.Preset(arch=arch, size=96, upsample="conv", imagenet_norm=True, taps=presets.PRESETS["vit"].taps)
    monkeypatch.setitem(presets.PRESETS, "vit", small)
    body = LastBlocks(timm.create_model(arch, num_classes=0, img_size=96))
    plain = ReferenceTokenPim(body, [192] * 4, [37] * 4, 3, width=16, selects=(32,) * 4)
    torch.save({"model": plain.state_dict(), "epoch": 49}, tmp_path / "best.pt")
    (tmp_path / "names.txt").write_text("001.Red_bird\n002.Green_bird\n003.Blue_bird\n")
    public = ("--model", "vit", "--root", photo_tree)
    run(main_finetune, "--method", "pim", "--eval", "--resume", "best.pt", *public, "--results-dir", "eval")
    lines = (tmp_path / "eval/eval_results.txt").read_text().splitlines()
    assert sum("select_layer" in line or "drop_layer" in line for line in lines if line.startswith(" ")) == 16
    run(evaluate, "--pretrained", "best.pt", *public, "--out", "page")
    assert (tmp_path / "page/eval_results.txt").read_text().splitlines()[4:] == lines[4:]
    run(infer, photo_tree / "test", "--pretrained", "best.pt", "--model", "vit", "--class-names", "names.txt", "--out", "i")
    assert (tmp_path / "i/infer_results.txt").read_text().count("select_layer") >= 8
    said = run(heatmap, "--pretrained", "best.pt", *public, "--out", "heat")
    assert "pim" in said or "plug-in" in said
    assert (tmp_path / "heat/heatmap.png").is_file()
