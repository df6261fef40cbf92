"""The words that go on from a run: they mean the run that they are of."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from engine.flags.finetune.arguments import parse as parse_finetune
from engine.flags.metric.arguments import parse as parse_metric
from engine.flags.pretrain.arguments import parse
from engine.workflows.report.commands import drop_resume, list_onward, tell_resume


def test_resume_means_the_same_run(photo_tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "a run's place"
    words = ["--root", str(photo_tree), "--method", "moco", "--pretrained", "none", "--crop-root", "none", "--cos", "false", "--schedule", "2",
             "3", "--epochs", "5", "--device", "cpu", "--results_dir", str(folder), "--crop-bottom", "0"]
    options = parse(words)
    for argv in (["main_pretrain.py", *words], ["main_pretrain.py", *words, "--resume"], ["pytest"]):
        monkeypatch.setattr("sys.argv", argv)
        place, command = tell_resume(options).splitlines()
        assert place == f"cd {shlex.quote(str(Path.cwd()))}" and command.startswith("python main_pretrain.py ")
        again = parse(shlex.split(command)[2:])
        assert again.resume == "auto" and again.identify({"resume"}) == options.identify({"resume"}), command


def test_a_place_to_resume_from_is_dropped_with_its_flag() -> None:
    assert drop_resume(["--a", "--resume", "x", "-b", "1"]) == ["--a", "-b", "1"]
    assert drop_resume(["--resume", "--a"]) == ["--a"] and drop_resume(["--resume=x", "--a", "--resume"]) == ["--a"]


def test_several_processes_start_by_torchrun(photo_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.distributed.world", lambda: 2)
    options = parse(["--root", str(photo_tree), "--method", "moco", "--pretrained", "none", "--crop-root", "none", "--device", "cpu"])
    assert "torchrun --standalone --nproc_per_node 2 main_pretrain.py --" in tell_resume(options)


def test_next_commands_are_of_the_system_and_name_the_run(photo_tree: Path) -> None:
    common = ["--root", str(photo_tree), "--device", "cpu", "--results-dir", "checkpoints/my run", "--pretrained", "none"]
    pretrain = dict(list_onward(parse([*common, "--method", "moco", "--crop-root", "none"])))
    assert pretrain["a linear probe"] == "python main_linear.py --pretrained 'checkpoints/my run'"
    assert "main_retrieval.py" in pretrain["retrieval, with neighbours before and after"]
    assert "--out 'checkpoints/my run/heatmap'" in pretrain["where it looks"]
    assert not any("tools.atlas" in command for command in pretrain.values())
    lead = list_onward(parse([*common, "--teacher", "test_resnet", "--teacher-weights", "none", "--crop-root", "none"]))
    assert "python -m tools.atlas 'checkpoints/my run'" in [command for _, command in lead]
    metric = " ".join(dict(list_onward(parse_metric([*common, "--loss", "margin"]))).values())
    assert "main_metric.py --evaluate 'checkpoints/my run'" in metric and "--feature head" in metric
    finetune = " ".join(dict(list_onward(parse_finetune([*common, "--model", "test_resnet"]))).values())
    assert f"tools.evaluate --pretrained 'checkpoints/my run' --root {photo_tree}" in finetune
