"""Flags: one spelling rule, real booleans, presets under the user's words, all problems at once."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser, boolean, spell_flag
from engine.flags.pretrain.arguments import parse
from runtime.errors import ConfigError, Problems, refuse


def test_underscores_and_dashes_are_one_flag() -> None:
    a = parse(["--root", "x", "--pretrained", "none", "--moco-t", "0.3", "--num-workers", "2", "--batch-size", "8"])
    b = parse(["--root", "x", "--pretrained", "none", "--moco_t=0.3", "--num_workers", "2", "--batch_size", "8"])
    assert vars(a) == vars(b)


def test_head_init_and_head_start_are_one_flag_under_its_old_name_in_args_json() -> None:
    words = ["--root", "x", "--pretrained", "none", "--teacher", "tf_efficientnet_lite0", "--teacher-view", "clean"]
    new, old = (parse([*words, flag, "least-squares"]) for flag in ("--head-init", "--head-start"))
    assert new.head_start == "least-squares" and new == old


def test_values_keep_their_underscores() -> None:
    assert spell_flag("--results_dir=my_run_1") == "--results-dir=my_run_1"
    assert spell_flag("my_run_1") == "my_run_1"


def test_cos_false_is_false() -> None:
    assert parse(["--root", "x", "--pretrained", "none", "--cos", "false"]).cos is False
    assert parse(["--root", "x", "--pretrained", "none", "--cos"]).cos is True
    with pytest.raises(Exception, match="neither true nor false"):
        boolean("maybe")


def test_clip_is_the_seeds_name_for_its_resnet() -> None:
    assert parse(["--root", "x", "--pretrained", "none", "-a", "clip"]).arch == "resnet50"


def test_seed_flags_are_all_understood() -> None:
    words = ("-a resnet50 --lr 0.02 --epochs 100 --schedule 120 160 --cos true --seed 123 --batch-size 64 --wd 5e-4 "
             "--moco-dim 512 --moco-k 65536 --moco-m 0.999 --moco-t 0.27 --knn-k 200 --knn-t 0.1 --root bird "
             "--crop_root crops --results-dir checkpoints/x --port 10002 --world-size 2 --num_workers 16 "
             "--num-classes 200 --pretrained none --alpha 0.5 --beta 20 --text-load t.pt --temperature 0.02 --teacher-weights w.pt --test")
    args = parse(words.split())
    assert (args.alpha, args.beta, args.moco_k, args.wd, args.test) == (0.5, 20, 65536, 5e-4, True)


def test_launch_flags_are_ignored_with_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    parse(["--root", "x", "--pretrained", "none", "--port", "10002", "--world_size", "2", "--dist-url", "tcp://localhost:1"])
    assert capsys.readouterr().err.count("ignored") == 1


def test_presets_lie_under_the_users_flags() -> None:
    assert parse(["--root", "x", "--pretrained", "none", "--preset", "small"]).optimizer == "adamw"
    assert parse(["--root", "x", "--pretrained", "none", "--preset", "small", "--optimizer", "sgd"]).optimizer == "sgd"
    seed = parse(["--root", "x", "--pretrained", "none", "--recipe", "seed"])
    assert (seed.moco_k, seed.six_passes, seed.queue_mask, seed.crop_bottom) == (65536, True, "none", 0)
    assert parse(["--root", "x", "--pretrained", "none", "--method", "moco"]).moco_t == 0.2


def test_aircraft_drops_the_banner_but_not_in_the_seed_recipe() -> None:
    assert parse(["--root", "x", "--pretrained", "none", "--task", "aircraft"]).crop_bottom == 20
    assert parse(["--root", "x", "--pretrained", "none", "--task", "aircraft", "--recipe", "seed"]).crop_bottom == 0
    assert parse(["--root", "x", "--pretrained", "none", "--task", "bird"]).crop_bottom == 0


def test_usual_weights_are_found_and_their_absence_is_told() -> None:
    args = parse(["--root", "x", "-a", "tf_efficientnet_lite1"])
    assert args.pretrained == "package:efficientnet-lite1"
    assert args.teacher_weights == "package:efficientnet-lite0+package:efficientnet-lite2"
    one = parse(["--root", "x", "-a", "tf_efficientnet_lite0", "--teacher", "tf_efficientnet_lite2"])
    assert one.teacher_weights == "package:efficientnet-lite2"
    with pytest.raises(ConfigError, match="no start weights for resnet18"):
        parse(["--root", "x", "-a", "resnet18"])


def test_every_problem_is_in_one_message() -> None:
    with pytest.raises(ConfigError) as error:
        parse(["--root", "x", "--pretrained", "none", "--epochs", "0", "--lr", "-1", "--teacher", "clip", "--device", "cuda:7",
               "--logger", "paper"])
    message = str(error.value)
    for word in ("--epochs", "--lr", "--text-load", "--teacher-weights", "CUDA", "paper"):
        assert word in message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_refusing_file_system_is_a_message_and_a_bug_a_traceback(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(code: int) -> None:
        raise OSError(code, "said no", "results.jsonl")

    with pytest.raises(SystemExit) as end:
        exit_cleanly(lambda: fail(number))
    assert end.value.code == 2 and "results.jsonl" in capsys.readouterr().err
    with pytest.raises(OSError):
        exit_cleanly(lambda: fail(errno.EPIPE))


def test_problems_collects_and_refuse_is_silent_without_any() -> None:
    problems = Problems()
    assert problems.attempt(lambda: 3) == 3

    def fail() -> None:
        raise ConfigError("first")

    assert problems.attempt(fail) is None
    with pytest.raises(ConfigError, match="first"):
        problems.refuse()
    refuse([])


@pytest.mark.parametrize("words", [["--out", ""], ["--out="], ["--results-dir", ""]])
def test_an_empty_word_for_a_place_is_not_the_current_folder(words: list[str]) -> None:
    parser = Parser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--results-dir", "--output-dir", default=None)
    assert parser.parse_args([]).out is None and parser.parse_args(["--out", "."]).out == Path()
    with pytest.raises(ConfigError, match="a variable that is not set"):
        parser.parse_args(words)
