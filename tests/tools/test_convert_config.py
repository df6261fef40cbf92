"""LCR's yaml files in our flags: every key arrives, and the command they become is accepted."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import parse_probe
from engine.flags.pretrain.arguments import parse
from engine.workflows.pretrain.system import make_pretrain_plan
from runtime.errors import ConfigError
from tools.convert_config import convert, main

CUB = {
    "name": "byol-cub", "dataset": {"name": "cub200", "image_size": 192, "num_workers": 3},
    "model": {"name": "byol", "backbone": "resnet50_cub200"},
    "train": {"optimizer": {"name": "lars_simclr", "weight_decay": 2e-6, "momentum": 0.8}, "warmup_epochs": 7,
              "warmup_lr": 0.03, "base_lr": 0.3, "final_lr": 0.06, "num_epochs": 700, "stop_at_epoch": 90, "batch_size": 64,
              "knn_monitor": True, "knn_interval": 2, "knn_k": 150},
    "eval": {"optimizer": {"name": "sgd", "weight_decay": 0, "momentum": 0.9}, "warmup_epochs": 0, "warmup_lr": 0,
             "base_lr": 30, "final_lr": 0, "batch_size": 128, "num_epochs": 80},
    "logger": {"tensorboard": False, "matplotlib": True}, "seed": 5,
}  # fmt: skip


def test_every_key_arrives() -> None:
    conversion = convert(CUB, root="birds")
    train, probe = conversion.commands
    assert len(conversion.notes) == 1 and "--recipe seed" in conversion.notes[0]
    args = parse([*train[2:], "--pretrained", "none", "--device", "cpu"])
    plan = make_pretrain_plan(args, 10)
    assert (args.method, args.task, args.root, args.size, args.num_workers, args.arch) == (
        "lcr-byol", "cub", "birds", 192, 3, "resnet50")
    assert (args.optimizer, args.wd, args.momentum, args.seed) == ("lars", 2e-6, 0.8, 5)
    assert (plan.epochs, plan.schedule_epochs, plan.warmup_epochs, plan.batch_size) == (90, 700, 7, 64)
    assert (plan.lr, plan.warmup_start, plan.floor) == pytest.approx((0.075, 0.1, 0.2))
    assert (args.monitor_every, args.knn_k, args.results_dir) == (2, 150, "checkpoints/byol-cub")
    probed = parse_probe([*probe[2:], "--device", "cpu"])
    assert (probed.lr, probed.epochs, probed.batch_size, probed.cos, probed.feature) == ((15.0,), 80, 128, True, "masked")


def test_files_without_training_leave_the_probe() -> None:
    tree = copy.deepcopy(CUB) | {"train": None}
    conversion = convert(tree, root="x", run="mine")
    assert [command[1] for command in conversion.commands] == ["main_linear.py"]
    assert "mine" in conversion.commands[0] and "nothing to train" in conversion.notes[0]


def test_what_cannot_be_carried_over_is_told() -> None:
    tree = copy.deepcopy(CUB)
    tree["eval"]["final_lr"], tree["train"]["surprise"], tree["train"]["optimizer"]["name"] = 0.1, 4, "larc"
    tree["model"]["backbone"] = "resnet18_cifar_variant1"
    notes = "\n".join(convert(tree, root="x").notes)
    for word in ("eval.final_lr", "train.surprise: 4", "larc becomes lars", "resnet18"):
        assert word in notes


def test_another_codes_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="LCR's BYOL.*model"):
        convert({"model": {"name": "yolo"}}, root="x")


def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["convert_config", str(path), "--root", "d"])
    exit_cleanly(main)


def test_command_prints_commands_and_a_message_for_a_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "a.yaml", tmp_path / "b.yaml"
    good.write_text("model: {name: byol}\ntrain: {base_lr: 0.3, batch_size: 128, warmup_epochs: 1}\n")
    bad.write_text("model: [")
    run(good, monkeypatch)
    shown = capsys.readouterr().out
    assert "--method lcr-byol" in shown and "--lr 0.3" in shown
    with pytest.raises(SystemExit) as end:
        run(bad, monkeypatch)
    assert end.value.code == 2 and "yaml" in capsys.readouterr().err


PIM = {
    "project_name": "CUB200-T2", "exp_name": "T3000", "use_wandb": True, "wandb_entity": "someone",
    "train_root": "../datas/train/", "val_root": "../datas/test/", "data_size": 384, "num_workers": 2, "batch_size": 16,
    "model_name": "swin-t", "pretrained": None, "optimizer": "SGD", "max_lr": 0.0005, "wdecay": 0.0005, "max_epochs": 50,
    "warmup_batchs": 800, "use_amp": True, "use_fpn": True, "fpn_size": 1536, "use_selection": True, "num_classes": 200,
    "num_selects": {"layer1": 2048, "layer2": 512, "layer3": 128, "layer4": 32}, "use_combiner": True, "lambda_b": 0.5,
    "lambda_s": 0.0, "lambda_n": 5.0, "lambda_c": 1.0, "update_freq": 2, "log_freq": 100, "eval_freq": 10,
}  # fmt: skip


def test_pim_files_become_commands() -> None:
    from engine.flags.finetune.arguments import parse as parse_finetune

    conversion = convert(PIM | {"use_wandb": False}, root="DATASET")
    (words,) = conversion.commands
    assert words[:2] == ["python", "main_finetune.py"] and len(conversion.notes) == 1
    args = parse_finetune([*words[2:], "--finetune", "none", "--device", "cpu"])
    published = parse_finetune(["--method", "pim", "--preset", "cub", "--root", "../datas/train/", "--val-root",
                                "../datas/test/", "--finetune", "none", "--device", "cpu", "--num-workers", "2",
                                "--nb-classes", "200", "--results-dir", "checkpoints/CUB200-T2_T3000", "--use-amp", "true",
                                "--eval-freq", "10", "--data-size", "384"])
    differing = {name for name, value in args.settings().items() if value != published.settings()[name]}
    assert differing == {"preset", "task", "data_set"}


def test_pim_files_without_training_evaluate() -> None:
    from engine.flags.finetune.arguments import parse as parse_finetune

    conversion = convert(PIM | {"train_root": None, "pretrained": "best.pt"}, root="DATASET", run="mine")
    args = parse_finetune([*conversion.commands[0][2:], "--device", "cpu"])
    assert args.eval and (args.resume, args.test_root, args.fpn_size) == ("best.pt", ("../datas/test/",), 1536)
    assert args.num_selects["layer1"] == 2048 and args.results_dir == "checkpoints/mine_eval"
    aicup = {name: value for name, value in PIM.items() if name != "pretrained"} | {"val_root": None, "surprise": 1}
    notes = "\n".join(convert(aicup, root="flowers").notes)
    assert "nothing is evaluated" in notes and "surprise: 1 has no counterpart" in notes and "WANDB_ENTITY" in notes
