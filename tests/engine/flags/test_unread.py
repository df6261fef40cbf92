"""A flag that nothing reads under the other choices is refused, or, where a public code has it too, noted."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from engine.flags.finetune import arguments as finetune_args
from engine.flags.finetune.readers import READERS as FINETUNE
from engine.flags.metric import arguments as metric_args
from engine.flags.metric.readers import READERS as METRIC
from engine.flags.pretrain import arguments as pretrain_args
from engine.flags.pretrain.readers import READERS as PRETRAIN
from engine.flags.unread import Readers
from engine.workflows.metric.system import read_method_options
from runtime.errors import ConfigError

PRE = ["--root", "x", "--pretrained", "none", "--device", "cpu"]
FINE = ["--root", "x", "--finetune", "none", "--device", "cpu"]
KD = [*FINE, "--distillation-type", "hard", "--teacher-path", "t"]
PIM = [*FINE, "--method", "pim"]


@pytest.mark.parametrize("words, message", [
    (["--fpn-size", "256"], "--fpn-size: read only with --method pim"),
    (["--use-combiner", "false", "--lambda_b=1", "--num-selects", "8"],
     "--lambda-b, --num-selects, --use-combiner: read only with --method pim; leave them out"),
    (["--taps", "1", "2"], "--taps"), (["--ensemble-order", "ascending"], "--ensemble-order"),
    (["--teacher-cache"], "--teacher-cache: read only with --method distill"),
    (["--repeats", "4"], "--repeats: read only with --repeated-aug"),
    (["--train-view", "mild", "--aa", "original", "--scale", "0.5", "1"], "--aa, --scale: read only with --train-view timm"),
    (["--sched", "constant", "--min-lr-ratio", "0.1"], "--min-lr-ratio: read only with a cosine"),
    (["--min-lr", "1e-6", "--min-lr-ratio", "0.1"], "say the same thing"),
    (["--crop-pct", "1", "--eval-view", "warp"], "--crop-pct and --eval-view"),
    (["--use-amp", "--precision", "bf16"], "--use-amp and --precision"),
    (["--wd", "0", "--weight-decay-end", "0.1"], "--weight-decay-end: read only with --wd above 0"),
    (["--warmup-epochs", "1", "--warmup-lr", "0.1"], "--warmup-lr 0.1 is above"),
    (["--disable-eval", "--eval-freq", "1"], "--eval-freq"), (["--cache", "c"], "--cache: read only with --teacher-cache")])
def test_plain_fine_tuning(words: list[str], message: str) -> None:
    refused(finetune_args.parse, [*FINE, *words], message)


@pytest.mark.parametrize("words, message", [
    (["--drop", "0.1"], "--drop: read only with --method plain or teacher or distill"),
    (["--second-head", "true", "--head_init_scale", "0.1"], "--head-init-scale, --second-head"),
    (["--reprob", "0.5"], "--reprob: read only with --train-view timm"),
    (["--teacher-path", "t", "--distillation-tau", "2"], "--distillation-tau, --teacher-path")])
def test_the_plug_in_module(words: list[str], message: str) -> None:
    refused(finetune_args.parse, [*PIM, *words], message)


@pytest.mark.parametrize("words, message", [
    (["--cam-weight", "1"], "--cam-weight: read only with --method lead or lcr-moco or lcr-byol"),
    (["--tau-schedule", "cosine", "--projector-hidden", "9"], "--projector-hidden, --tau-schedule"),
    (["--six-passes"], "--six-passes"), (["--lars-norm", "joint"], "--optimizer lars"),
    (["--optimizer", "adamw", "--momentum", "0.5"], "--momentum: read only with --optimizer sgd or lars"),
    (["--aug-plus", "false", "--view-recipe", "mild"], "--view-recipe: read only with --aug-plus true"),
    (["--cos", "false", "--schedule-kind", "cosine-moco"], "--schedule-kind"),
    (["--schedule-kind", "constant", "--final-lr", "0.1"], "--final-lr"),
    (["--monitor-every", "0", "--monitor-retrieval"], "--monitor-retrieval")])
def test_moco(words: list[str], message: str) -> None:
    refused(pretrain_args.parse, [*PRE, "--method", "moco", *words], message)


@pytest.mark.parametrize("words, message", [
    (["--mlp", "false"], "--mlp: read only with --method moco or lcr-moco"), (["--moco-source", "crop"], "--moco-source"),
    (["--cam-sign", "similarity"], "--cam-sign: read only with --method lcr-moco"),
    (["--cam", "rows", "--cam-temperature", "1"], "--cam-temperature: read only with --cam peak"),
    (["--text-rows", "any", "--rows-as-stored"], "--rows-as-stored, --text-rows: read only with --teacher clip"),
    (["--temperature", "1", "--target-entropy", "0.4"], "--target-entropy"),
    (["--neighbour-steps", "3"], "--neighbour-steps: read only with --neighbours")])
def test_lead(words: list[str], message: str) -> None:
    refused(pretrain_args.parse, [*PRE, *words], message)


@pytest.mark.parametrize("words, message", [
    (["--miner-semihard-margin", "0.4"], "--miner-semihard-margin: read only with --batch-mining semihard"),
    (["--diffusion-norm", "uniform"], "--diffusion-norm: read only with --OBDP"),
    (["--select-by", "map"], "--select-by"), (["--pretrained-root", "R"], "--pretrained-root: read only with --evaluate"),
    (["--not-pretrained"], "--not-pretrained and --pretrained say two things")])
def test_metric_learning(words: list[str], message: str) -> None:
    refused(metric_args.parse, [*PRE, *words], message)


@pytest.mark.parametrize("parse, words, named", [
    (metric_args.parse, [*PRE, "--loss_triplet_margin", "7", "--miner_distance_lower_cutoff", "0.4", "--kd_tau", "2"],
     ["--loss-triplet-margin (read only with --loss triplet)", "--miner-distance-lower-cutoff", "--kd-tau"]),
    (metric_args.parse, [*PRE, "--loss", "margin", "--miner_rho_distance_lower_cutoff", "1"], ["rho_distance"]),
    (finetune_args.parse, [*FINE, "--distillation-alpha", "0.3", "--momentum", "0.8"], ["--distillation-alpha", "--momentum"]),
    (finetune_args.parse, [*KD, "--distillation-tau", "2", "--dr", "0.5"], ["--distillation-tau", "--dr"]),
    (pretrain_args.parse, [*PRE, "--method", "moco", "--alpha", "0.3", "--text-load", "t.pt"], ["--alpha (read only with --method lead)"]),
    (pretrain_args.parse, [*PRE, "--teacher-view", "clean", "--teacher-precision", "bf16"], ["--teacher-precision"]),
    (pretrain_args.parse, [*PRE, "--schedule", "60", "80", "--num-classes", "200"], ["--schedule", "--num-classes"])])
def test_public_flags_without_effect_are_noted_once(
    parse: Callable, words: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parse(words)
    said = capsys.readouterr().err
    assert said.count("without effect here") == 1 and all(name in said for name in named)


def test_what_a_preset_lays_is_not_the_users() -> None:
    assert finetune_args.parse([*PIM, "--preset", "small"]).aa == "none"
    assert pretrain_args.parse([*PRE, "--method", "byol", "--preset", "small"]).optimizer == "adamw"


def test_of_two_words_for_one_thing_the_users_counts() -> None:
    cub = [*PIM, "--preset", "cub"]
    assert finetune_args.parse(cub).warmup_batchs == 800
    for words, expected in ((["--warmup-epochs", "2"], (2.0, -1, 0)), (["--warmup-steps", "9"], (0.0, 9, 0)),
                            (["--warmup-epochs", "0"], (0.0, -1, 0))):
        args = finetune_args.parse([*cub, *words])
        assert (args.warmup_epochs, args.warmup_steps, args.warmup_batchs) == expected
    wide = [*PRE, "--preset", "cub-512"]
    assert metric_args.parse([*wide, "--arch", "resnet50_normalize_frozen"]).pool == "avg"
    assert metric_args.parse([*wide, "--arch", "resnet50"]).pool == "avg+max"
    assert not metric_args.parse([*wide, "--arch", "resnet50_frozen", "--pool", "avg+max"]).normalize
    for words in (["--OBD-SD", "false"], ["--PSD", "false"]):
        args = metric_args.parse([*wide, *words])
        assert (args.PSD, args.OBDP) == (False, False)
    assert metric_args.parse([*PRE, "--OBD-SD", "--OBDP=false"]).OBDP is False
    assert metric_args.parse([*PRE, "--task", "mine", "--dataset", "cub200"]).task == "mine"


def test_zero_is_a_number() -> None:
    assert finetune_args.parse([*FINE, "--model-ema", "--model-ema-decay", "0"]).model_ema_decay == 0
    refused(finetune_args.parse, [*FINE, "--size", "0"], "--size is 0")


@pytest.mark.parametrize("words, margin", [
    (["--loss", "triplet"], 0.2), (["--loss", "triplet", "--loss-triplet-margin", "0.7"], 0.7),
    (["--loss", "contrastive"], 0.2), (["--loss", "snr", "--loss-snr-margin=0.3", "--miner-semihard-margin", "0.4"], 0.4)])
def test_semihard_takes_the_margin_of_its_loss(words: list[str], margin: float) -> None:
    args = metric_args.parse([*PRE, "--batch-mining", "semihard", *words])
    assert read_method_options(args).miner_options.margin == margin


def test_each_miner_has_its_own_cutoff() -> None:
    words = [*PRE, "--loss", "margin", "--miner-distance-lower-cutoff", "0.3", "--miner-rho-distance-lower-cutoff", "0.9"]
    near, rho = (read_method_options(metric_args.parse([*words, "--batch-mining", name])) for name in ("distance", "rho_distance"))
    assert (near.miner_options.lower_cutoff, rho.miner_options.lower_cutoff) == (0.3, 0.9)


@pytest.mark.parametrize("module, table", [(pretrain_args, PRETRAIN), (finetune_args, FINETUNE), (metric_args, METRIC)],
                         ids=["pretrain", "finetune", "metric"])
def test_tables_name_flags_that_exist(module: object, table: tuple[Readers, ...]) -> None:
    known = {action.dest for action in module.make_parser()._actions}
    assert {dest for row in table for dest in row.dests} <= known


def refused(parse: Callable, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(words)
    assert re.search(re.escape(message), str(caught.value)), caught.value
