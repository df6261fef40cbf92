"""main_finetune.py as a user runs it: every method, a run that was interrupted, two processes, and messages."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.flags.finetune.arguments import parse
from engine.workflows.build import build as build_run
from engine.workflows.finetune.run import FinetuneRun
from engine.workflows.finetune.saved import evaluate_saved_classifier
from engine.workflows.finetune.system import FINETUNE
from models.classifiers.file import load_classifier
from models.weights.files import read_checkpoint
from runtime.errors import ConfigError, WeightsError

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
TINY = ["--device", "cpu", "--model", "test_resnet", "--finetune", "none", "--size", "32", "--batch-size", "8", "--lr",
        "0.001", "--drop-path", "0", "--eval-freq", "1", "--precision", "fp32", "--num-workers", "0", "--epochs", "2"]
PIM = ["--method", "pim", "--train-view", "timm", "--num-selects", "20", "8", "3", "1", "--fpn-size", "16", "--size", "64",
       "--taps", "layer1", "layer2", "layer3", "layer4"]


def build(folder: Path, photos: Path, *words: str) -> FinetuneRun:
    return build_run(FINETUNE, parse([*TINY, "--root", str(photos), "--results-dir", str(folder), *words]), CPU)


def run(folder: Path, photos: Path, *words: str) -> dict[str, torch.Tensor]:
    build(folder, photos, *words).train()
    return read_checkpoint(folder / "model_last.pth")["state_dict"]


def rows(folder: Path, name: str = "log.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, scribbles: Path) -> Path:
    """A teacher of four classes, trained for a moment."""
    folder = tmp_path_factory.mktemp("taught") / "teacher"
    run(folder, scribbles, "--method", "teacher", "--model", "test_convnext", "--epochs", "1", "--layer-decay", "0.7",
        "--update-freq", "1")
    return folder


@pytest.fixture(scope="module")
def scribbles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of sixteen blotches, redder, greener, bluer or lighter by their class; the same ones to test."""
    root = tmp_path_factory.mktemp("scribbles")
    for split in ("train", "test"):
        for label in range(4):
            folder = root / split / f"class_{label}"
            folder.mkdir(parents=True)
            for number in range(5):
                pixels = np.random.default_rng(10 * label + number).integers(0, 120, (4, 4, 3), dtype=np.uint8)
                pixels[..., slice(label, label + 1) if label < 3 else slice(None)] += 130
                Image.fromarray(pixels).resize((64, 64), Image.BICUBIC).save(folder / f"{number}.png")
    return root


def test_a_run_leaves_a_network_numbers_and_can_go_on_after_a_kill(photo_tree: Path, tmp_path: Path) -> None:
    words = ["--save-every", "1", "--epochs", "3", "--mixup", "0.4", "--model-ema", "--model-ema-decay", "0.9",
             "--layer-decay", "0.8", "--val-share", "0.25", "--select", "best-val", "--update-freq", "2", "--batch-size",
             "4", "--drop", "0.1", "--weight-decay-end", "0.1"]
    whole = run(tmp_path / "whole", photo_tree, *words)
    cut = build(tmp_path / "cut", photo_tree, *words)
    cut.trainer.logger.start(0)
    cut.trainer.train_epoch(0)
    cut.trainer.finish_epoch(0)
    cut.trainer.batches.set(1)
    cut.trainer.method.train()
    cut.trainer.train_step(iter(cut.trainer.loader))
    cut.trainer.save()  # in the middle of the second epoch
    assert max(group["weight_decay"] for group in cut.trainer.optimizer.param_groups) > 1e-3  # on its way from 1e-8 to 0.1
    assert 0.0 in {group["weight_decay"] for group in cut.trainer.optimizer.param_groups}  # vectors
    cut.trainer.logger.close()
    resumed = run(tmp_path / "cut", photo_tree, *words, "--auto-resume")
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    for name in ("model_ema.pth", "model_best.pth"):
        pair = [read_checkpoint(tmp_path / folder / name)["state_dict"] for folder in ("whole", "cut")]
        assert all(torch.equal(pair[0][key], pair[1][key]) for key in pair[0]), name
    first, second = (rows(tmp_path / folder, "results.jsonl") for folder in ("whole", "cut"))
    assert [row["metrics"] for row in first] == [row["metrics"] for row in second]
    assert [row["epoch"] for row in first] == ["ema", "best"] and "best by val_top1" in first[1]["selection"]
    assert first[0]["weights_sha256"] != first[1]["weights_sha256"]


def test_what_a_run_writes(photo_tree: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", photo_tree, "--val-share", "0.25")
    saved = load_classifier(tmp_path / "run/model_last.pth")
    assert saved.class_names == ("001.Red_bird", "002.Green_bird", "003.Blue_bird")
    assert saved.view == {"recipe": "deit-eval", "size": 32} and saved.meta["method"] == "plain"
    (row,) = rows(tmp_path / "run", "results.jsonl")
    assert (row["kind"], row["images"], row["split"], row["method"], row["epoch"]) == ("classify", 12, "test", "plain", "last")
    assert row["metrics"]["top5"] == 1 and row["metrics"]["top1_low"] <= row["metrics"]["top1"] <= row["metrics"]["top1_high"]
    lines = rows(tmp_path / "run", "log.txt")
    assert len(lines) == 2 and {"train_lr", "train_loss", "epoch", "n_parameters", "val_acc1"} <= lines[0].keys()
    assert lines[1]["test_acc1"] == pytest.approx(100 * row["metrics"]["top1"]) and "test_acc1" not in lines[0]
    table = list(csv.DictReader((tmp_path / "run/classes.csv").open()))
    assert [line["class"] for line in table] == list(saved.class_names) and table[0]["support"] == "4"
    assert f"{100 * row['metrics']['top1']:.3f}%" in (tmp_path / "run/eval_results.txt").read_text()
    for name in ("confusion.png", "reliability.png", "curves.png", "args.json"):
        assert (tmp_path / "run" / name).stat().st_size > 100
    epochs = [line for line in rows(tmp_path / "run") if line["kind"] == "epoch"]
    assert all({"train_top1", "val_top1", "val_loss"} <= line.keys() for line in epochs)
    assert not any(name.startswith("test") for line in epochs for name in line)


def test_a_finished_network_is_evaluated_again(photo_tree: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", photo_tree, "--epochs", "1")
    again = ["--device", "cpu", "--num-workers", "0", "--eval", "--results-dir", str(tmp_path / "run")]
    evaluate_saved_classifier(parse([*again, "--root", str(photo_tree)]), CPU)
    evaluate_saved_classifier(parse([*again[:-1], str(tmp_path / "other"), "--resume", str(tmp_path / "run"), "--val-root",
                                     str(photo_tree / "test")]), CPU)
    first, second = rows(tmp_path / "run", "results.jsonl")
    (third,) = rows(tmp_path / "other", "results.jsonl")
    assert first["metrics"] == pytest.approx(second["metrics"], abs=1e-5)
    assert first["metrics"] == pytest.approx(third["metrics"], abs=1e-5)
    assert (second["view"], second["size"], second["weights_sha256"]) == ("deit-eval", 32, first["weights_sha256"])
    with pytest.raises(ConfigError, match="no network at"):
        evaluate_saved_classifier(parse([*again[:-1], str(tmp_path / "none"), "--root", str(photo_tree)]), CPU)
    with pytest.raises(ConfigError, match="a state to continue from"):
        evaluate_saved_classifier(parse([*again, "--root", str(photo_tree), "--resume", str(tmp_path / "run/checkpoint.pt")]), CPU)


def test_a_finished_run_is_evaluated_as_it_was_trained(photo_tree: Path, tmp_path: Path) -> None:
    mine, words = tmp_path / "mine", ["--device", "cpu", "--num-workers", "0"]
    run(mine, photo_tree, "--epochs", "1", "--method", "teacher", "-t", "aircraft", "--seed", "5", "--eval-view", "warp",
        "--crop-bottom", "0")
    shutil.copy(mine / "model_last.pth", tmp_path / "net.pth")
    for asked in (["--eval", str(mine)],
                  ["--eval", str(tmp_path / "net.pth"), "--root", str(photo_tree), "--results-dir", str(mine)]):
        evaluate_saved_classifier(parse([*words, *asked]), CPU)
    found = rows(mine, "results.jsonl")
    assert len(found) == 3
    for row in found:
        assert row["metrics"] == pytest.approx(found[0]["metrics"], abs=1e-6)
        assert [row[name] for name in ("method", "task", "size", "view", "seed", "epoch")] == [
            "teacher", "aircraft", 32, "warp", 5, "last" if row is not found[2] else ""]
    with pytest.raises(ConfigError) as caught:
        parse([*words, "--eval", str(mine), "--method", "plain", "--size", "64", "--crop-pct", "1", "--seed", "6"])
    assert all(line in str(caught.value) for line in (
        "--method is plain", "--size is 64", "--crop-pct is 1.0", "--seed is 6, but", "was trained with 5"))


def test_a_public_file_is_evaluated(photo_tree: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", photo_tree, "--epochs", "1", "--eval-view", "crop")
    net = load_classifier(tmp_path / "run/model_last.pth").network.net
    torch.save({"model": net.state_dict(), "epoch": 3, "args": None}, tmp_path / "checkpoint.pth")
    words = ["--device", "cpu", "--num-workers", "0", "--eval", "--root", str(photo_tree), "--results-dir",
             str(tmp_path / "public"), "--resume", str(tmp_path / "checkpoint.pth"), "--size", "32"]
    evaluate_saved_classifier(parse([*words, "--model", "test_resnet"]), CPU)
    assert rows(tmp_path / "public", "results.jsonl")[0]["metrics"]["nll"] == pytest.approx(
        rows(tmp_path / "run", "results.jsonl")[0]["metrics"]["nll"], abs=1e-5)
    with pytest.raises(WeightsError):
        evaluate_saved_classifier(parse([*words, "--model", "resnet18"]), CPU)
    for name in ("single/one", "single/two"):
        shutil.copytree(photo_tree / "train" / "001.Red_bird", tmp_path / name)
    with pytest.raises(ConfigError, match="has 2 classes, the network 3"):
        evaluate_saved_classifier(parse([*words, "--model", "test_resnet", "--val-root", str(tmp_path / "single")]), CPU)


def test_a_teacher_must_know_the_classes(photo_tree: Path, tmp_path: Path, teacher: Path) -> None:
    with pytest.raises(ConfigError, match="knows 4 classes, the data has 3"):
        run(tmp_path / "x", photo_tree, "--method", "distill", "--teacher-path", str(teacher))
    assert not (tmp_path / "x").exists()


def test_distilled_with_mixing_and_with_remembered_answers(scribbles: Path, tmp_path: Path, teacher: Path) -> None:
    words = ["--method", "distill", "--teacher-path", str(teacher), "--epochs", "1"]
    run(tmp_path / "mixed", scribbles, *words, "--mixup", "0.8", "--cutmix", "1", "--batch-size", "10")
    run(tmp_path / "kept", scribbles, *words, "--distillation-type", "soft", "--teacher-cache", "--cache",
        str(tmp_path / "cache"))
    for name, method in (("mixed", "hard-distill"), ("kept", "soft-distill")):
        step = next(row for row in rows(tmp_path / name) if row["kind"] == "step")
        assert {"cls", "distillation", "agreement", "accuracy_teacher"} <= step.keys()
        row = rows(tmp_path / name, "results.jsonl")[0]
        assert row["method"] == method and {"top1_cls", "top1_dist", "top1_average"} <= row["metrics"].keys()
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1  # one question was asked, once


OVERFIT = ["--finetune", "package:efficientnet-lite0", "--model", "tf_efficientnet_lite0", "--frozen-bn", "--size", "64",
           "--batch-size", "20", "--lr", "0.001", "--smoothing", "0", "--scale", "1", "1", "--hflip", "0",
           "--aa", "none", "--reprob", "0", "--color-jitter", "0", "--eval-view", "warp", "--min-lr-ratio", "0.1", "--wd", "0",
           "--eval-freq", "100", "--opt", "adamw"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["plain", "distill", "pim"])
def test_twenty_pictures_are_learnt_by_heart(method: str, scribbles: Path, tmp_path: Path) -> None:
    small = ["--head-init-scale", "0.01"]  # heads of a classifier; those of the plug-in module have their own start
    words = {"plain": small, "distill": [*small, "--method", "distill", "--teacher-path", str(tmp_path / "taught")],
             "pim": ["--method", "pim", "--train-view", "timm", "--num-selects", "64", "16", "4", "1", "--fpn-size", "64"]}
    if method == "distill":
        run(tmp_path / "taught", scribbles, "--method", "teacher", *small, *OVERFIT, "--epochs", "12",
            "--update-freq", "1", "--layer-decay", "1")
    pace = ["--epochs", "30", "--batch-size", "10"] if method == "pim" else ["--epochs", "12"]  # its norms settle late
    run(tmp_path / method, scribbles, *words[method], *OVERFIT, *pace)
    assert rows(tmp_path / method)[-1]["train_top1"] == 1
    assert rows(tmp_path / method, "results.jsonl")[0]["metrics"]["top1"] == 1  # the test images are the same twenty


def test_plug_in_modules_train_and_report_branches(scribbles: Path, tmp_path: Path) -> None:
    run(tmp_path / "pim", scribbles, *PIM, "--epochs", "1", "--recipe", "seed")
    row = rows(tmp_path / "pim", "results.jsonl")[0]
    assert row["feature"] == "combiner"
    assert {"top1_layer1", "top1_layer4", "top1_combiner", "top1_highest-1", "top1_highest-5"} <= row["metrics"].keys()
    assert "layer1-top-3" in (tmp_path / "pim/eval_results.txt").read_text()
    evaluate_saved_classifier(parse(["--device", "cpu", "--num-workers", "0", "--eval", "--root", str(scribbles), "--results-dir",
                                     str(tmp_path / "pim"), "--ensemble-order", "ascending"]), CPU)
    assert rows(tmp_path / "pim", "results.jsonl")[1]["metrics"] == pytest.approx(row["metrics"], abs=1e-5)


def test_positions_that_a_level_does_not_have_are_refused_before_work(scribbles: Path, tmp_path: Path) -> None:
    words = [word if word != "20" else "256" for word in PIM]
    with pytest.raises(ConfigError, match="layer1 keeps 256 of"):
        run(tmp_path / "x", scribbles, *words)


def test_all_problems_come_in_one_message(scribbles: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run(tmp_path / "x", scribbles, "--nb-classes", "7", "--finetune", "gone.pth", "--aa", "nonsense")
    assert all(word in str(caught.value) for word in ("gone.pth", "nonsense", "--nb-classes 7"))
    with pytest.raises(ConfigError) as caught:
        run(tmp_path / "x", scribbles, "--batch-size", "50", "--model", "no_such_net", "--mixup", "1")
    assert all(word in str(caught.value) for word in ("20 training images", "no_such_net"))
    with pytest.raises(ConfigError) as caught:
        run(tmp_path / "x", scribbles, "--epochs", "0", "--finetune", "gone.pth", "--aa", "rand-mX")
    assert all(word in str(caught.value) for word in ("--epochs is 0", "gone.pth", "rand-mX"))
    for words, message in ((["--batch-size", "5", "--mixup", "1"], "5 is odd"),
                           (["--select", "best-val"], "needs validation images")):
        with pytest.raises(ConfigError, match=message):
            run(tmp_path / "x", scribbles, *words)
    assert not (tmp_path / "x").exists()


def test_a_joint_set_is_reported_by_source(scribbles: Path, photo_tree: Path, tmp_path: Path) -> None:
    run(tmp_path / "joint", photo_tree, "--data-path", str(photo_tree), str(scribbles), "--data-set", "CUB", "DOG",
        "--epochs", "1", "--repeated-aug", "--repeats", "2")
    row = rows(tmp_path / "joint", "results.jsonl")[0]
    assert {name: one["images"] for name, one in row["details"]["sources"].items()} == {"CUB": 12, "DOG": 20}
    assert np.sum(row["details"]["source_confusion"]) == 32 and row["details"]["classes"] == 7
    assert len(load_classifier(tmp_path / "joint/model_last.pth").sources) == 2
    evaluate_saved_classifier(parse(["--device", "cpu", "--num-workers", "0", "--eval", "--root", str(scribbles), "--results-dir",
                                     str(tmp_path / "joint")]), CPU)  # one of the parts, by the names of its classes
    alone = rows(tmp_path / "joint", "results.jsonl")[1]
    assert alone["metrics"]["top1"] == pytest.approx(row["details"]["sources"]["DOG"]["top1"])


@pytest.mark.slow
def test_two_processes_train_like_one(scribbles: Path, tmp_path: Path) -> None:
    words = [*TINY, "--root", str(scribbles), "--model", "test_vit", "--batch-size", "10", "--size", "160"]
    alone = run(tmp_path / "one", scribbles, *words)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "main_finetune.py", *words,
         "--results-dir", str(tmp_path / "two")], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    together = read_checkpoint(tmp_path / "two/model_last.pth")["state_dict"]
    assert all(torch.allclose(alone[name], together[name], atol=1e-4) for name in alone)
    assert len(rows(tmp_path / "two", "results.jsonl")) == 1


@pytest.mark.slow
def test_the_script_trains_two_sets_and_the_command_explains_itself(scribbles: Path, photo_tree: Path, tmp_path: Path) -> None:
    done = subprocess.run([str(ROOT / "run_finetune.sh"), "cub_dogs", "plain", f"{photo_tree} {scribbles}", "NAME", "cpu",
                           *TINY, "--results-dir", str(tmp_path / "script"), "--epochs", "1"], capture_output=True, text=True,
                          env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DOG" in done.stdout and rows(tmp_path / "script", "results.jsonl")[0]["task"] == "cub_dogs"
    done = subprocess.run([sys.executable, "main_finetune.py", "--root", str(photo_tree), "--distillation-type", "hard"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "--teacher-path is missing" in done.stderr and "Traceback" not in done.stderr


def test_the_script_tells_its_usage() -> None:
    for words in (["cub", "x", "y", "n", "cpu"], ["cub", "plain", "y", "n"], ["sea", "plain", "y", "n", "cpu"]):
        done = subprocess.run([str(ROOT / "run_finetune.sh"), *words], capture_output=True, text=True)
        assert done.returncode == 2 and "usage:" in done.stderr and "plain|teacher|distill|pim" in done.stderr
