"""One message names what ranges refuse, what flags contradict, and what the machine has not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import timing
from engine.flags.evaluate.arguments import parse_probe, parse_search
from engine.flags.finetune import arguments as finetune_args
from engine.flags.metric import arguments as metric_args
from engine.flags.pretrain import arguments as pretrain_args
from engine.workflows.pretrain.system import build_student
from evaluation.features.subject import open_subject
from evaluation.options import EncoderOptions
from runtime.errors import ConfigError, WeightsError
from runtime.options import name_flags
from tools import audit, embed, encode_text, evaluate, heatmap, infer, search, sort, text_ablation, text_studio

COMMANDS = {
    "pretrain": (pretrain_args.parse, "-a no_such_net --pretrained none --recipe seed --accum-steps 2"),
    "finetune": (finetune_args.parse, "--model no_such_net --finetune none --opt lion"),
    "metric": (metric_args.parse, "-a no_such_net --pretrained none --OBDP"),
    "linear": (parse_probe, "-a no_such_net --pretrained gone --protocol seed --hold-out 0.1"),
    "retrieval": (parse_search, "-a no_such_net --pretrained gone --gallery val"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_faults_contradictions_and_absences_are_in_one_message(name: str) -> None:
    parse, words = COMMANDS[name]
    with pytest.raises(ConfigError) as caught:
        parse([*words.split(), "-b", "0", "--root", "no/such/folder", "--device", "cpu"])
    text = str(caught.value)
    assert "-b is 0" in text and "no/such/folder" in text and "no_such_net" in text
    assert text.count("\n  - ") >= 4 and text.count("cannot start") == 1


TOOLS = {
    "embed": (embed.parse, "no/such/folder --pretrained gone --out x -b 0 --crop-from boxes", "--crop-from"),
    "search": (search.parse, "no/such/folder --pretrained gone -b 0", "nothing to look for"),
    "audit": (audit.parse, "no/such/folder --pretrained gone -b 0 --crop-from boxes", "--crop-from"),
    "sort": (sort.parse, "no/such/folder --pretrained gone -b 0 --crop-from boxes", "--crop-from"),
    "evaluate": (evaluate.parse, "--root no/such/folder --pretrained gone -b 0 --data-set CIFAR", "CIFAR is not read"),
    "infer": (infer.parse, "no/such/folder --pretrained gone -b 0 --device cuda:99", "--device cuda:99"),
    "heatmap": (heatmap.parse, "--root no/such/folder --pretrained gone -b 0 --device cuda:99", "--device cuda:99"),
    "text_studio": (text_studio.parse, "x.csv --root no/such/folder --tau 0 --device cuda:99", "--device cuda:99"),
    "text_ablation": (text_ablation.parse, "x.csv --root no/such/folder --tau 0 --lr 1", "without --train"),
    "encode_text": (encode_text.main, "no/such/folder.csv --template {what} --aggregate all --out x.json", "manifest"),
}


@pytest.mark.parametrize("name", TOOLS)
def test_tools_too_say_everything_at_once(name: str) -> None:
    parse, words, contradiction = TOOLS[name]
    with pytest.raises(ConfigError) as caught:
        parse(words.split())
    text = str(caught.value)
    assert contradiction in text and "no/such/folder" in text and text.count("\n  - ") >= 3
    assert any(fault in text for fault in ("-b is 0", "--tau is 0", "--aggregate"))
    assert "gone" in text or "gone" not in words


def test_a_refusal_begins_with_the_flag_as_the_user_wrote_it(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"hello")
    for words, flag in ((["-a", "resnet5O", "--pretrained", "none"], "-a: unknown architecture 'resnet5O'"),
                        (["--arch", "resnet5O", "--pretrained", "none"], "--arch: unknown architecture 'resnet5O'"),
                        (["--pretrained", str(bad)], "--pretrained: .*bad.pth"),
                        (["--pretrained", "package:foo"], "--pretrained: package:foo is unknown")):
        args = parse_search([*words, "--root", str(tmp_path), "--device", "cpu", "--cache", "none"])
        with pytest.raises(WeightsError, match=f"^{flag}"):
            open_subject(args, torch.device("cpu"), 2)
        with pytest.raises(WeightsError, match=f"^{flag}"):
            build_student(pretrain_args.parse([*words, "--root", str(tmp_path), "--device", "cpu", "--method", "moco"]))


def test_what_begins_with_a_flag_keeps_its_words() -> None:
    args = parse_search(["-a", "x", "--pretrained", "none"])
    for line in ("--size 3: too small", "cannot start:\n  - --lr"):
        with pytest.raises(ConfigError) as caught, name_flags(args, "arch"):
            raise ConfigError(line)
        assert str(caught.value) == line


def test_benchmarks_end_with_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        timing.parse_benchmark("x", timing.BenchmarkOptions, ["--rounds", "2"])
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert text == "error: cannot start:\n  - --rounds is 2, but it must be a whole number, within 3..1000000\n"


@pytest.mark.parametrize("name", ["pretrain", "finetune", "metric"])
def test_a_word_that_is_no_choice_is_told_once(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        COMMANDS[name][0](["--preset", "nosuch", "--root", "no/such/folder", "--device", "cpu"])
    text = str(caught.value)
    assert text.count("nosuch") == 1 and "has no settings" not in text


@pytest.mark.parametrize("word", ["", "  "])
@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_results_folder_is_not_the_one_that_one_stands_in(name: str, word: str) -> None:
    with pytest.raises(ConfigError, match="--results-dir is empty, perhaps a variable"):
        COMMANDS[name][0](["--results-dir", word, "--pretrained", "none", "--root", "no/such/folder", "--device", "cpu"])


@pytest.mark.parametrize("read", [
    lambda *words: embed.parse(["x", "--out", "y", *words]), lambda *words: sort.parse(["x", "--out", "y", *words]),
    lambda *words: search.parse(["x", "--image", "q.jpg", *words]), lambda *words: heatmap.parse(["--root", "x", *words]),
    lambda *words: parse_search(["--root", "x", "--input", "full", *words])])
def test_every_evaluation_lays_a_preset_and_says_which_flags_have_no_effect(
    read: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--pretrained", "none", "--device", "cpu")
    told = read(*common, "--preset", "aircraft", "--recipe", "seed")
    assert isinstance(told, EncoderOptions) and (told.task, told.eval_view) == ("aircraft", "squash")
    assert "without effect" not in capsys.readouterr().err
    read(*common, "--crop-root", "crops")
    assert "--crop-root (read only with --input crop) without effect here" in capsys.readouterr().err


def test_maps_are_drawn_over_whole_images_alone() -> None:
    with pytest.raises(ConfigError, match="--input: invalid choice: 'crop'"):
        heatmap.parse(["--root", "x", "--pretrained", "none", "--device", "cpu", "--input", "crop"])
