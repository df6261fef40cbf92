"""The public code's flags mean what they meant, and its slips are explained."""

from __future__ import annotations

import pytest

from engine.flags.metric.arguments import parse
from engine.flags.metric.losses import list_loss_options
from engine.flags.metric.options import MetricOptions
from engine.workflows.metric.system import read_method_options
from methods.obdsd import ObdSdOptions
from runtime.errors import ConfigError

WORDS = ["--root", ".", "--pretrained", "none", "--device", "cpu"]


def options(*words: str) -> ObdSdOptions:
    return read_method_options(parse([*WORDS, *words]))


def test_defaults_are_the_methods() -> None:
    assert options() == ObdSdOptions(diffusion=None)


@pytest.mark.parametrize("preset, kd, w, tau, epochs, schedule, gamma", [
    ("cub-128", 1000, 0.3, 1, 150, (1000,), 0.3), ("cub-512", 1000, 0.3, 1, 150, (1000,), 0.3),
    ("cars-128", 75, 0.99, 1, 150, (1000,), 0.3), ("cars-512", 200, 0.99, 1, 300, (200, 250), 0.3),
    ("sop-128", 100, 0.5, 0.005, 100, (1000,), 0.3), ("sop-512", 200, 0.5, 0.005, 200, (70, 100), 0.2)])
def test_presets_are_the_published_runs(
    preset: str, kd: float, w: float, tau: float, epochs: int, schedule: list[int], gamma: float
) -> None:
    args = parse([*WORDS, "--preset", preset])
    wide = preset.endswith("512")
    assert read_method_options(args) == ObdSdOptions(
        dim=512 if wide else 128, pool="avg+max" if wide else "avg", distil=True, diffusion="softmax", kd_lambda=kd,
        diffusion_w=w, diffusion_tau=tau)
    assert (args.epochs, args.schedule, args.gamma, args.lr, args.batch_size) == (epochs, schedule, gamma, 1e-5, 112)
    assert parse([*WORDS, "--preset", preset, "--OBDP", "false"]).OBDP is False


def test_the_public_codes_command_is_understood() -> None:
    args = parse(["--device", "cpu", "--not_pretrained", "--source", "data", "--dataset", "cub200", "--kernels", "3",
                  "--bs", "56", "--n_epochs", "20", "--arch", "resnet50_normalize_frozen_double", "--embed_dim", "512",
                  "--loss", "margin_obd_sd", "--batch_mining", "rho_distance", "--miner_rho_distance_cp", "0.4",
                  "--OBD-SD", "--kd_lambda", "9", "--loss_margin_beta_lr", "0.1", "--tau", "5", "9", "--decay", "0.1",
                  "--optim", "sgd", "--fc_lr", "1e-3", "--group", "g", "--gpu", "0", "--loss_triplet_margin", "7"])
    found = read_method_options(args)
    assert (args.root, args.num_workers, args.batch_size, args.epochs, args.wd) == ("data", 3, 56, 20, 0.1)
    assert args.arch == "resnet50" and args.schedule == (5, 9) and args.optimizer == "sgd"
    assert found.pool == "avg+max" and found.normalise and found.frozen_bn and found.dim == 512
    assert found.distil and found.diffusion == "softmax" and found.head_lr == 1e-3
    assert found.criterion_options == {"beta_rate": 0.1} and found.miner_options.swap == 0.4


@pytest.mark.parametrize("words, expected", [
    (["--arch", "resnet50"], (True, True, "avg")), (["--arch", "resnet50_frozen"], (False, True, "avg")),
    (["--arch", "resnet50_double_normalize"], (True, False, "avg+max")),
    (["--arch", "resnet50_frozen", "--normalize", "--pool", "avg+max"], (True, True, "avg+max")),
    (["--arch", "tf_efficientnet_lite0", "--frozen-bn", "false"], (True, False, "avg"))])
def test_words_of_the_architecture(words: list[str], expected: tuple[bool, bool, str]) -> None:
    found = options(*words)
    assert (found.normalise, found.frozen_bn, found.pool) == expected
    assert parse([*WORDS, *words]).arch == words[1].replace("_frozen", "").replace("_double_normalize", "")


def test_slips_are_explained() -> None:
    with pytest.raises(ConfigError, match="a space is missing before --PSD.*continuation.*normalize_frozen --PSD"):
        parse([*WORDS, "--arch", "resnet50_normalize_frozen--PSD"])
    with pytest.raises(ConfigError, match="does nothing without it"):
        parse([*WORDS, "--OBDP"])
    with pytest.raises(ConfigError, match="(?s)2 problems.*--epochs is 0.*--kd-tau is 0.0, but it must be above 0"):
        parse([*WORDS, "--epochs", "0", "--kd-tau", "0"])
    with pytest.raises(ConfigError, match="(?s)3 problems.*below 1.*bninception.*--root is missing"):
        parse(["--pretrained", "none", "--arch", "bninception_frozen", "--diffusion-w", "1"])


def test_an_epoch_is_chosen_by_validation_images_or_not_at_all() -> None:
    with pytest.raises(ConfigError, match="best-test.*is not offered: .* use --select best-val with --use-tv-split"):
        parse([*WORDS, "--select", "best-test"])
    with pytest.raises(ConfigError, match="--select is first"):
        parse([*WORDS, "--select", "first"])
    with pytest.raises(ConfigError, match="(?s)2 problems.*give --use-tv-split.*--monitor-every 1"):
        parse([*WORDS, "--select", "best-val", "--monitor-every", "0"])
    assert parse([*WORDS, "--select", "best-val", "--use-tv-split"]).monitor_every_to_select == 5
    assert parse([*WORDS, "--use-tv-split"]).monitor_every_to_select == 0


def test_every_option_of_a_loss_has_its_own_flag() -> None:
    flags = list(list_loss_options())
    assert len({flag.flag for flag in flags}) == len(flags) > 30
    assert {"--loss-multisimilarity-thresh", "--loss-softtriplet-lambda", "--loss-oproxy-pos-alpha",
            "--loss-quadruplet-margin-alpha-2", "--loss-angular-npair-ang-weight"} <= {flag.flag for flag in flags}
    assert isinstance(parse(WORDS), MetricOptions)


def test_distance_mining_leaves_signal_to_noise_unregularised() -> None:
    assert options("--loss", "snr").criterion_options == {"reg_lambda": 0.0}
    assert options("--loss", "snr", "--batch-mining", "random").criterion_options == {}
    assert options("--loss", "snr", "--loss-snr-reg-lambda", "0.1").criterion_options == {"reg_lambda": 0.1}
