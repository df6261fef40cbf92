"""The words that go on from a run: they mean the run that they are of."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from engine.flags.pretrain.arguments import parse
from engine.workflows.report.commands import list_onward, tell_resume


def test_resume_means_the_same_run(photo_tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "a run's place"
    words = ["--root", str(photo_tree), "--method", "moco", "--pretrained", "none", "--crop-root", "none", "--cos", "false", "--schedule", "2",
             "3", "--epochs", "5", "--device", "cpu", "--results_dir", str(folder), "--crop-bottom", "0"]
    options = parse(words)
    for argv in (["main_pretrain.py", *words], ["main_pretrain.py", *words, "--resume"], ["pytest"]):
        monkeypatch.setattr("sys.argv", argv)
        place, command = tell_resume(options).splitlines()
        assert place == f"cd {shlex.quote(str(Path.cwd()))}" and "main_pretrain.py" in shlex.split(command)
        again = parse(shlex.split(command.partition("main_pretrain.py")[2]))
        assert again.resume == "auto" and again.identify({"resume"}) == options.identify({"resume"}), command


def test_next_commands_are_of_the_system_and_name_the_run(photo_tree: Path) -> None:
    common = ["--root", str(photo_tree), "--device", "cpu", "--results-dir", "checkpoints/my run", "--pretrained", "none"]
    plain = [command for _, command in list_onward(parse([*common, "--method", "moco", "--crop-root", "none"]), "a")]
    assert any("main_linear.py --pretrained 'my run' --root a" in command for command in plain)
    assert any("--out 'checkpoints/my run/heatmap'" in command for command in plain) and not any("tools.atlas" in one for one in plain)
    lead = list_onward(parse([*common, "--teacher", "test_resnet", "--teacher-weights", "none", "--crop-root", "none"]), "a")
    assert lead[-1][1].endswith(" -m tools.atlas 'checkpoints/my run'") and "  # " not in "".join(map(str, lead))
