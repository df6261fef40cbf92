"""Presets lie under the user's flags, whichever way a method is meant, and a name without settings is refused."""

from __future__ import annotations

import itertools
import re

import pytest

from engine.flags.finetune import arguments as finetune_args
from engine.flags.finetune.presets import PRESETS as FINETUNE
from engine.flags.metric import arguments as metric_args
from engine.flags.metric.presets import PRESETS as METRIC
from engine.flags.presets import Presets
from engine.flags.pretrain import arguments as pretrain_args
from engine.flags.pretrain.presets import PRESETS as PRETRAIN
from runtime.errors import ConfigError
from runtime.options import list_given

PRE = ["--root", ".", "--pretrained", "none", "--device", "cpu"]
FINE = ["--root", ".", "--finetune", "none", "--device", "cpu"]
KD = [*FINE, "--distillation-type", "soft", "--teacher-path", "t"]
METRIC_WORDS = ["--root", ".", "--pretrained", "none", "--device", "cpu"]
COMMANDS = [(pretrain_args, PRETRAIN), (finetune_args, FINETUNE), (metric_args, METRIC)]


def test_the_seed_recipe_needs_no_method() -> None:
    plain, distilled = finetune_args.parse([*FINE, "--recipe", "seed"]), finetune_args.parse([*KD, "--recipe", "seed"])
    assert (plain.method, plain.lr_scale_ref, plain.min_lr_ratio) == ("plain", 512, 0.0)
    assert (distilled.method, distilled.distillation_reduction, distilled.lr_scale_ref) == ("distill", "legacy", 512)
    assert pretrain_args.parse([*PRE, "--recipe", "seed"]).six_passes
    assert metric_args.parse([*METRIC_WORDS, "--recipe", "seed"]).precision == "fp32"
    for words in (["--distillation_type=soft"], ["--distillation-type", "soft", "--method", "distill"]):
        args = finetune_args.parse([*FINE, *words, "--teacher-path", "t", "--recipe=seed"])
        assert (args.method, args.distillation_reduction) == ("distill", "legacy")
    assert finetune_args.parse([*FINE, "--distillation-type", "none", "--recipe", "seed"]).lr_scale_ref == 512


def test_the_users_own_flags_lie_on_top() -> None:
    seed = [*KD, "--recipe", "seed"]
    assert finetune_args.parse([*seed, "--distillation_reduction=batchmean"]).distillation_reduction == "batchmean"
    assert finetune_args.parse([*seed, "--lr-scale-ref", "0"]).lr_scale_ref == 0
    small = [*FINE, "--preset", "small"]
    assert finetune_args.parse([*small, "--monitor_every=1"]).monitor_every == 1  # an alias of the preset's flag
    assert finetune_args.parse([*small, "--accum-steps", "3"]).accum_steps == 3
    assert finetune_args.parse([*small, "--frozen-bn", "false"]).frozen_bn is False
    own = pretrain_args.parse([*PRE, "--recipe", "seed", "--six_passes", "false", "--learning-rate", "0.5"])
    assert (own.six_passes, own.early_enqueue, own.lr) == (False, True, 0.5)


@pytest.mark.parametrize("parse, words, message", [
    (finetune_args.parse, [*FINE, "--method", "teacher", "--recipe", "seed"],
     "--recipe seed has no settings for --method teacher, only for plain, distill, pim.*there is --recipe default$"),
    (finetune_args.parse, [*FINE, "--method", "pim", "--preset", "deit"], "--preset deit has .*pim.*only for plain"),
    (pretrain_args.parse, [*PRE, "--method", "byol", "--preset", "dog"],
     "--preset dog has no settings for --method byol, only for lead; for byol there is --preset none, bird, cub"),
    (pretrain_args.parse, [*PRE, "--method", "moco", "--preset", "dog", "--epochs", "0"], "(?s)2 problems.*--epochs.*dog")])
def test_a_name_without_settings_for_the_method_is_refused(parse: object, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(words)
    assert re.search(message, str(caught.value), re.DOTALL)


@pytest.mark.parametrize("module, presets", COMMANDS, ids=["pretrain", "finetune", "metric"])
def test_presets_set_flags_that_exist(module: object, presets: Presets) -> None:
    known = {action.dest for action in module.make_parser()._actions}
    laid = [*presets.methods.values(), *itertools.chain(*(some.values() for some in presets.named.values()))]
    assert all(set(settings) <= known for settings in laid)


def test_what_the_user_gave_is_known_by_name() -> None:
    args = finetune_args.parse(["--data_path", "x", "--pretrained=none", "--device", "cpu", "--no-pin-mem", "-b", "8",
                                "--preset", "small"])
    assert set(list_given(args)) == {"root", "pretrained", "device", "pin_mem", "batch_size", "preset"}
    assert "given" not in args.settings()


def test_a_program_gives_options_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["notebook", "--no-such-flag"])
    told = {"root": "birds", "pretrained": "none", "device": "cpu", "method": "moco", "preset": "small"}
    options = pretrain_args.parse(**told)
    words = [word for name, value in told.items() for word in (f"--{name}", value)]
    assert options == pretrain_args.parse(words) and options.given == {name: f"--{name}" for name in told}
    with pytest.raises(TypeError, match="PretrainOptions has no learning_rate"):
        pretrain_args.parse(**told, learning_rate=0.1)
