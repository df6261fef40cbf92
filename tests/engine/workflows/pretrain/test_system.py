"""From flags to LCR and BYOL: published defaults, recipes, LARS."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.flags.pretrain.arguments import parse
from engine.workflows.pretrain.methods import build_pretrain_method
from engine.workflows.pretrain.system import build_student, make_pretrain_optimizer, make_pretrain_plan
from methods.lcr import LcrByol, LcrMoco
from methods.method import Method, ParamGroup
from methods.rationale import RationaleOptions
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from runtime.errors import ConfigError, WeightsError

WORDS = ["--root", "x", "--pretrained", "none", "--device", "cpu"]


def make(*words: str) -> Method:
    narrow = ["--projector-hidden", "32"] if any(word.endswith("byol") for word in words) else []
    args = parse([*WORDS, "-a", "resnet18", *narrow, *words])
    return build_pretrain_method(args, 300, build_student(args), None)


def test_moco_path_has_the_published_defaults() -> None:
    for preset in ("none", "cub", "cars", "aircraft"):
        args = parse([*WORDS, "--method", "lcr-moco", "--preset", preset])
        found = [args.arch, args.size, args.epochs, args.batch_size, args.optimizer, args.lr, args.momentum, args.wd]
        assert found == ["resnet50", 224, 100, 128, "sgd", 0.03, 0.9, 1e-4]
        assert [args.moco_t, args.moco_m, args.moco_dim, args.cam_weight, args.mlp] == [0.2, 0.999, 256, 0.01, True]
        assert args.peak_lr == 0.03 and args.crop_root == "none"


@pytest.mark.parametrize("preset, shaped, every", [("cub", 800, 1), ("cars", 100, 0), ("aircraft", 100, 0)])
@pytest.mark.parametrize("method", ["byol", "lcr-byol"])
def test_byol_path_has_the_published_defaults(method: str, preset: str, shaped: int, every: int) -> None:
    args = parse([*WORDS, "--method", method, "--preset", preset])
    plan = make_pretrain_plan(args, 46)
    assert (plan.epochs, plan.schedule_epochs, plan.warmup_epochs, plan.lr) == (100, shaped, 10, 0.15)
    assert (args.optimizer, args.momentum, args.wd, args.batch_size) == ("lars", 0.9, 1.5e-6, 128)
    assert (args.moco_m, args.tau_schedule, args.moco_dim, args.projector_hidden) == (0.996, "constant", 256, 4096)
    assert (args.monitor_every, args.knn_k, args.knn_t) == (every, 200, 0.1)


def test_methods_bring_their_width_and_a_flag_wins() -> None:
    widths = {method: parse([*WORDS, "--method", method]).moco_dim for method in ("lead", "moco", "lcr-moco", "byol")}
    widths["lead"] = widths["lead"] if widths["lead"] else "the prototypes'"
    assert widths == {"lead": "the prototypes'", "moco": 128, "lcr-moco": 256, "byol": 256}
    args = parse([*WORDS, "--method", "lcr-moco", "--preset", "cub", "--recipe", "seed", "--moco_dim", "64", "--nu", "2"])
    assert (args.moco_dim, args.cam_weight) == (64, 2.0)


def test_seed_recipes_are_those_of_their_path() -> None:
    moco = make("--method", "lcr-moco", "--recipe", "seed")
    assert isinstance(moco, LcrMoco) and moco.rationale == RationaleOptions.seed("rows") and moco.couples_batch
    assert (moco.options.queue_size, moco.options.queue_mask, moco.options.shuffle_keys) == (65536, "none", True)
    byol = make("--method", "lcr-byol", "--recipe", "seed")
    assert isinstance(byol, LcrByol) and byol.rationale == RationaleOptions.seed("positions")
    assert byol.encoder().backbone.skips_max_pool
    assert byol.encoder().backbone(torch.zeros(1, 3, 64, 64)).shape[-2:] == (4, 4)
    args = parse([*WORDS, "--method", "lcr-byol", "--recipe", "seed"])
    assert (args.momentum, args.schedule_kind, args.precision) == (0.0, "cosine-late", "fp32")


def test_defaults_are_ours() -> None:
    assert make("--method", "lcr-moco").rationale == RationaleOptions() == make("--method", "lcr-byol").rationale
    assert not make("--method", "byol").encoder().backbone.skips_max_pool
    linear = make("--method", "lcr-moco", "--mlp", "false", "--aug-plus", "false", "--branch-width", "5")
    assert isinstance(linear.query.head, nn.Linear) and linear.options.view_recipe == "mocov1"
    assert linear.query.attention.width == 5


def test_refusals_name_the_flag() -> None:
    with pytest.raises(WeightsError, match="--max-pool"):
        make("--method", "lcr-byol", "--max-pool", "false", "-a", "test_efficientnet")
    with pytest.raises(ConfigError, match="--cam positions"):
        parse([*WORDS, "--cam", "positions"])
    with pytest.raises(ConfigError, match="--momentum"):
        parse([*WORDS, "--momentum", "1.5"])


class Weights(Method):
    """One matrix and one bias that pull nowhere by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.full((2, 2), 3.0)), nn.Parameter(torch.full((2,), 3.0))

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.weight, self.bias])]

    views = forward = encoder = None


def step_twice(*words: str) -> tuple[list[float], list[float]]:
    """How far LARS moves weight and bias in two steps with a constant gradient of 1."""
    method = Weights()
    optimizer = make_pretrain_optimizer(parse([*WORDS, "--method", "byol", "--lr", "0.5", *words]), method)
    for group in optimizer.param_groups:
        group["lr"] = 0.25
    moved: tuple[list[float], list[float]] = ([], [])
    for _ in range(2):
        before = method.weight[0, 0].item(), method.bias[0].item()
        method.weight.grad, method.bias.grad = torch.ones(2, 2), torch.ones(2)
        optimizer.step()
        moved[0].append(before[0] - method.weight[0, 0].item())
        moved[1].append(before[1] - method.bias[0].item())
    return moved


def test_lars_adapts_weights_and_keeps_momentum() -> None:
    weight, bias = step_twice()
    assert weight[0] == pytest.approx(0.25 * 1e-3 * 3.0, rel=1e-3)  # |w| = 6, |g| = 2
    assert weight[1] == pytest.approx(1.9 * weight[0], rel=2e-3)
    assert bias == pytest.approx([0.25, 0.25 * 1.9])  # plain SGD


def test_inert_momentum_of_the_public_code() -> None:
    weight, bias = step_twice("--recipe", "seed")
    assert weight[1] == pytest.approx(weight[0], rel=2e-3) and bias == pytest.approx([0.25, 0.25])


def test_excluded_parameters_do_not_decay() -> None:
    groups = make_pretrain_optimizer(parse([*WORDS, "--method", "byol"]), make("--method", "byol")).param_groups
    assert [(g["weight_decay"], all(p.ndim > 1 for p in g["params"])) for g in groups] == [
        (1.5e-6, True), (0.0, False), (1.5e-6, True), (0.0, False)]


def test_weights_without_a_max_pool_start_a_run_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = build_backbone("resnet18")
    before.skip_max_pool()
    save_encoder(Encoder(before), tmp_path / "start.pth", {})
    words = ["--root", "x", "--method", "byol", "-a", "resnet18", "--pretrained", str(tmp_path / "start.pth"), "--device",
             "cpu"]
    args = parse(words)
    assert build_student(args).skips_max_pool and args.max_pool is False and "without max-pool" in capsys.readouterr().out
    assert not build_student(parse([*words, "--max-pool", "true"])).skips_max_pool
