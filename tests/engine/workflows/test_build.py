"""From flags to objects: recipes mean what they say, and conversions keep a network what it was."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from datasets.sampling.by_class import ClassBatches
from engine.flags.pretrain.arguments import parse
from engine.workflows.build import build, share_statistics
from engine.workflows.pretrain.methods import build_pretrain_method, lead_options
from engine.workflows.pretrain.system import PRETRAIN, make_pretrain_optimizer
from methods.lead import LeadOptions
from methods.method import Method
from methods.moco import ContrastOptions, Moco
from models.backbones import build_backbone
from runtime import precision

WORDS = ["--root", "x", "--pretrained", "none", "-a", "test_efficientnet", "--device", "cpu"]


def options(*words: str) -> LeadOptions:
    return lead_options(parse([*WORDS, *words]), SimpleNamespace(dim=512), {})


def test_recipes_of_the_command_are_those_of_the_method() -> None:
    common = {"shuffle_keys": True, "queue_mask": "none"}
    args = parse([*WORDS, "--recipe", "seed", "--num-classes", "200"])
    assert {name: getattr(args, name) for name in common} == common and args.sync_bn is False
    assert lead_options(args, SimpleNamespace(dim=512), common) == LeadOptions.seed(200)
    assert options() == LeadOptions.default()


def test_each_fact_can_be_had_alone() -> None:
    assert options("--six-passes") == LeadOptions.default(six_passes=True)
    assert options("--cam", "rows") == LeadOptions.default(cam="rows")
    assert options("--entropy-by", "num-classes", "--num-classes", "7") == LeadOptions.default(entropy_classes=7)


def test_moco_takes_its_own_temperature_and_width() -> None:
    args = parse([*WORDS, "--method", "moco", "--moco-k", "64"])
    method = build_pretrain_method(args, 100, build_backbone("test_efficientnet"), None)
    assert (method.options.temperature, method.options.dim, method.options.queue_size) == (0.2, ContrastOptions.dim, 64)


def test_shared_statistics_keep_the_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_backbone("test_efficientnet").eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    before = network(images)
    args = parse(WORDS)
    alone = share_statistics(args, network, torch.device("cuda"))
    assert alone is network  # one process has nothing to share
    monkeypatch.setattr("runtime.distributed.world", lambda: 2)
    shared = share_statistics(args, network, torch.device("cuda")).eval()
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in shared.modules())
    # SyncBatchNorm refuses CPU tensors only in train mode.
    torch.testing.assert_close(shared(images), before)


def test_precision_is_measured_on_a_copy() -> None:
    args = parse([*WORDS, "--method", "moco", "--moco-k", "64"])
    method: Method = build_pretrain_method(args, 100, build_backbone("test_efficientnet"), None)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    chosen, seconds = precision.choose_fastest_format(method.encoder(), 32, torch.device("cpu"), batch=2)
    assert set(seconds) == {"fp32", "bf16"}
    assert chosen == ("bf16" if seconds["bf16"] < 0.9 * seconds["fp32"] else "fp32")
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_groups_carry_rate_start_and_decay() -> None:
    args = parse([*WORDS, "--method", "moco", "--moco-k", "64", "--preset", "small", "--wd", "0.3",
                  "--head-warmup-epochs", "2"])
    groups = make_pretrain_optimizer(args, build_pretrain_method(args, 100, build_backbone("test_efficientnet"), None)).param_groups
    assert [(g["lr_scale"], g["start_epoch"], g["weight_decay"]) for g in groups] == [(0.02, 2, 0.3), (1.0, 0, 0.3)]


def test_a_methods_own_sampler_draws_the_batches(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sampler(self: Method, labels: torch.Tensor, batch_size: int) -> ClassBatches:
        return ClassBatches(labels.tolist(), batch_size, 3, seed=7, replace=False)

    def start(name: str) -> object:
        return build(PRETRAIN, parse(["--root", str(photo_tree), "--method", "moco", "--pretrained", "none", "--moco-k", "16",
                                      "-a", "test_efficientnet", "--size", "32", "--batch-size", "6", "--device", "cpu",
                                      "--crop-root", "none", "--precision", "fp32", "--num-workers", "0",
                                      "--results-dir", str(tmp_path / name)]), torch.device("cpu")).trainer

    usual = start("usual")
    monkeypatch.setattr(Moco, "sampler", sampler)
    trainer = start("own")
    assert isinstance(trainer.batches, ClassBatches) and not isinstance(usual.batches, ClassBatches)
    assert (usual.plan.steps_per_epoch, trainer.plan.steps_per_epoch) == (4, len(trainer.batches)) == (4, 3)
    trainer.batches.set(1)
    for batch in trainer.loader:
        assert batch.label.tolist()[::3] == batch.label.tolist()[2::3] and len(batch.label.unique()) == 2
