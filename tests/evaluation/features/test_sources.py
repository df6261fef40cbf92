"""What an evaluation takes from the run whose network it opens, and where it is left to the user."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datasets.images import scan
from datasets.views.recipes import View
from engine.flags.evaluate.arguments import parse_search
from evaluation.features.extract import extract
from evaluation.features.sources import find_source, inherit
from evaluation.features.subject import open_subject
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from models.heads import build_head


def make_run(folder: Path, **settings: object) -> Path:
    folder.mkdir(parents=True)
    save_encoder(Encoder(build_backbone("test_resnet")), folder / "model_last.pth", {"size": 48, "seed": 9})
    if settings:
        (folder / "args.json").write_text(json.dumps(settings))
    return folder


def ask(run: Path, *words: str) -> object:
    args = parse_search(["--pretrained", str(run), "--device", "cpu", *words])
    source, folder = find_source(args.pretrained)
    return inherit(args, folder, source)


def test_a_network_by_folder_or_file_is_its_run(tmp_path: Path) -> None:
    seed = {"root": str(tmp_path / "planes"), "task": "aircraft", "size": 32, "crop_bottom": 0, "seed": 7, "method": "lead",
            "crop_root": "none", "recipe": "seed"}
    run = make_run(tmp_path / "run", **seed)
    for named in (run, run / "model_last.pth"):
        for words in ((), ("--root", seed["root"]), ("--root", str(tmp_path / "moved"), "--task", "aircraft")):
            found = ask(named, *words)  # `--recipe seed` keeps the 20 rows of the banner; auto would cut them
            assert (found.size, found.seed, found.crop_bottom, found.task) == (32, 7, 0, "aircraft")
    other = ask(run, "--root", str(tmp_path / "birds"))  # other photographs: their banner is not the run's to tell
    assert (other.size, other.crop_bottom, other.task) == (32, "auto", "custom")
    assert ask(run, "--seed", "3").seed == 3


def test_views_are_the_runs_and_others_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = make_run(tmp_path / "metric", root="x", size=32, augmentation="big", method="obdsd")
    assert ask(metric).eval_view == "short-exact"
    assert ask(make_run(tmp_path / "fine", root=["x"], size=32, eval_view="warp")).eval_view == "warp"
    assert ask(make_run(tmp_path / "lead", root="x", size=32)).eval_view == "eval" and not capsys.readouterr().err
    found = ask(metric, "--size", "64", "--eval-view", "squash")
    assert (found.size, found.eval_view) == (64, "squash")
    assert "--size 64 (the run: 32), --eval-view squash (the run: short-exact)" in capsys.readouterr().err
    bare = make_run(tmp_path / "bare") / "model_last.pth"  # the file's own word
    assert (ask(bare).size, ask(bare).seed) == (48, 9)


def test_a_row_has_the_words_of_the_run_and_a_stored_mean_serves_its_own_view_only(
    tmp_path: Path, photo_tree: Path
) -> None:
    run = make_run(tmp_path / "run", root=str(photo_tree), size=32, method="obdsd", loss="margin", PSD=True,
                   augmentation="base")
    encoder = Encoder(build_backbone("test_resnet"))
    encoder.centre = {"backbone": torch.full((encoder.backbone.num_features,), 5.0)}
    save_encoder(encoder, run / "model_last.pth", {"size": 32})
    words = ["--pretrained", str(run), "--device", "cpu", "--num-workers", "0", "--centre", "--cache", "none"]
    for size, stored in (("32", False), ("0", False)):  # the metric run's view is another one
        subject = open_subject(parse_search([*words, "--size", size]), torch.device("cpu"), 8)
        assert subject.result("retrieval", scan(photo_tree, "test"), 1.0, {}).method == "margin+PSD"
        assert (subject.centre()[0] == 5) == stored
    for size, stored in (("32", True), ("40", False)):
        args = parse_search([*words, "--size", size, "--eval-view", "eval"])
        assert (open_subject(args, torch.device("cpu"), 8).centre()[0] == 5) == stored


def test_a_branch_of_the_seed_recipe_is_evaluated_image_by_image(photo_tree: Path) -> None:
    backbone = build_backbone("test_resnet")
    branch = RationaleBranch(backbone.num_features, normalise="batch")
    encoder = Encoder(backbone, build_head([backbone.num_features, 8]), branch).eval()
    branch.bn.bias.data.fill_(0.5)
    images, view = scan(photo_tree, "test"), View("full", "eval", 32)
    whole = extract(encoder.outputs, images, view, batch_size=12).tensors["masked"]
    for size in (1, 5):
        assert torch.allclose(extract(encoder.outputs, images, view, batch_size=size).tensors["masked"], whole, atol=1e-6)
    turned = replace(images, samples=images.samples[::-1])
    assert torch.allclose(extract(encoder.outputs, turned, view, batch_size=7).tensors["masked"].flip(0), whole, atol=1e-6)
