"""Commands that are told can be pasted into a shell, and are understood by those who read them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from engine.flags.evaluate.arguments import make_parser as make_tool_parser
from engine.flags.evaluate.arguments import make_probe_parser, make_search_parser
from engine.flags.finetune.arguments import make_parser as make_finetune_parser
from engine.flags.finetune.arguments import parse as parse_finetune
from engine.flags.metric.arguments import make_parser as make_metric_parser
from engine.flags.metric.arguments import parse as parse_metric
from engine.flags.pretrain.arguments import make_parser as make_pretrain_parser
from engine.flags.pretrain.arguments import parse
from engine.workflows.around.words import ask_to_resume, list_next_commands, name_python
from evaluation.options import ClassMapOptions
from runtime.processes.launch import Launch
from tools.report import parse as parse_report

ASKED = ["main_pretrain.py", "--root", "my photos/it's", "--lr", "0.01"]


def split_words(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    assert [words[0]] == name_python()
    return words[1:]


def test_a_command_goes_on_as_it_began_and_is_quoted() -> None:
    words = split_words(ask_to_resume(ASKED, resume=True))
    assert words == [*ASKED, "--resume"]
    assert make_pretrain_parser().parse_args(words[1:]).root == "my photos/it's"


@pytest.mark.parametrize("more", [["--resume"], ["--resume", "old/checkpoint.pt"], ["--resume=old"], ["--plan"],
                                  ["--plan", "train"], ["--plan", "train", "--resume"]])
def test_what_was_resumed_or_planned_before_is_not_told_again(more: list[str]) -> None:
    here = [*ASKED[:3], *more, *ASKED[3:]]
    assert split_words(ask_to_resume(here, resume=True)) == [*ASKED, "--resume"]
    begun = [word for word in more if word not in ("--plan", "train")]  # it may have gone on from another folder
    assert split_words(ask_to_resume(here, resume=False)) == [*ASKED[:3], *begun, *ASKED[3:]]


TWO_MACHINES = ["--nnodes=2", "--rdzv_backend=c10d", "--rdzv_endpoint=gpu1:29400"]


@pytest.mark.parametrize("launch, words", [
    (Launch(1, 4, 1, 4, "torchrun", "localhost", 1), ["torchrun", "--nproc_per_node=4"]),
    (Launch(1, 4, 1, 2, "torchrun", "gpu1", 1), ["torchrun", *TWO_MACHINES, "--nproc_per_node=2"]),
    (Launch(1, 4, 1, None, "environment", "localhost", 1), ["torchrun", "--nproc_per_node=4"]),
    (Launch(1, 4, 1, 2, "srun", "gpu1", 1), ["srun", "-n", "4", *name_python()]),
    (Launch(1, 4, 1, 2, "mpirun", "gpu1", 1), ["mpirun", "-n", "4", *name_python()]),
])
def test_several_processes_are_started_as_they_were(monkeypatch: pytest.MonkeyPatch, launch: Launch, words: list[str]) -> None:
    monkeypatch.setattr("engine.workflows.around.words.find_launch", lambda: launch)
    assert shlex.split(ask_to_resume(ASKED, resume=True)) == [*words, *ASKED, "--resume"]


def test_the_interpreter_is_named_so_that_a_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert name_python() == [sys.executable]
    (tmp_path / "python").symlink_to(sys.executable)
    assert name_python() == ["python"]


def test_what_is_asked_of_an_encoder_is_understood(tmp_path: Path) -> None:
    options = parse(["--root", "a b", "--pretrained", "none", "-a", "test_resnet", "--device", "cpu", "--method", "moco",
                     "--task", "bird", "--results-dir", str(tmp_path / "my run")])
    search, probe, heatmap, report = map(split_words, list_next_commands(options, "a b"))
    assert search[0] == "main_retrieval.py" and probe[0] == "main_linear.py"
    for parser, words in ((make_search_parser(), search), (make_probe_parser(), probe)):
        told = parser.parse_args(words[1:])
        assert (told.pretrained, told.root, told.task) == (str(tmp_path / "my run"), "a b", "bird")
    assert heatmap[:2] == ["-m", "tools.heatmap"] and report[:2] == ["-m", "tools.report"]
    looked = make_tool_parser("", "", ClassMapOptions).parse_args(heatmap[2:])
    assert (looked.pretrained, looked.out) == (str(tmp_path / "my run"), str(tmp_path / "my run" / "heatmap"))
    (tmp_path / "my run").mkdir()
    (tmp_path / "my run" / "results.jsonl").touch()
    assert parse_report(report[2:]).html == str(tmp_path / "my run" / "results.html")


def test_a_run_under_checkpoints_is_told_by_its_name() -> None:
    options = parse(["--root", "a", "--pretrained", "none", "-a", "test_resnet", "--device", "cpu", "--method", "moco",
                     "--results-dir", "checkpoints/run"])
    assert "--pretrained run --root a" in list_next_commands(options, "a")[0]


def test_what_is_asked_of_an_embedding_and_of_a_classifier_is_understood() -> None:
    metric = parse_metric(["--root", "a", "--pretrained", "none", "-a", "test_resnet", "--device", "cpu", "--results-dir", "x/run"])
    told = make_metric_parser().parse_args(split_words(list_next_commands(metric, "a")[0])[1:])
    assert told.evaluate == "x/run"
    classifier = parse_finetune(["--root", "a", "--pretrained", "none", "-a", "test_resnet", "--size", "32", "--device", "cpu",
                                 "--results-dir", "x/run"])
    told = make_finetune_parser().parse_args(split_words(list_next_commands(classifier, "a")[0])[1:])
    assert told.eval == "x/run"
