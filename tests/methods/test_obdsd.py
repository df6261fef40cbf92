"""OBD-SD: whose teacher teaches when, with which weight, and that two ranks are one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_distributed import run_ranks
from two_ranks_metric import CASES, CLASSES, build, make_labelled, train, train_all

from benchmarks.reference.obdsd import plain_loss
from engine.checkpoint import load_trained_state, trained_state
from methods.method import Clock
from methods.obdsd import ObdSd, ObdSdOptions
from models.encoder import Encoder
from stand_ins import TinyBackbone

OPTIONS = CASES["obd-sd"]


def clock(epoch: int, epochs: int = 4) -> Clock:
    return Clock(3 * epoch, 3 * epochs, epoch, epochs)


def move(method: ObdSd) -> None:
    """A change of the student that only learning could make."""
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))


def test_the_teacher_is_the_network_of_the_last_epochs_end() -> None:
    method, images = build(OPTIONS), make_labelled(0).views["image"]
    move(method)
    before = method.student(images).head
    assert not torch.allclose(method.teacher(images).head, before)
    method.after_epoch(clock(0))
    move(method)
    torch.testing.assert_close(method.teacher(images).head, before)
    assert not torch.allclose(method.student(images).head, before)
    assert not method.teacher.training and method.student.training
    assert not any(p.requires_grad for p in method.teacher.parameters())
    taught = {id(p) for group in method.param_groups() for p in group.params}
    assert not taught & {id(p) for p in method.teacher.parameters()}


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_the_loss_is_the_transcriptions_with_the_ramp(epoch: int) -> None:
    method, batch = build(replace(OPTIONS, normalise=True)), make_labelled(0)
    move(method)
    loss = method(batch, clock(epoch))
    student, teacher = method.student(batch.views["image"]).head, method.teacher(batch.views["image"]).head
    expected = plain_loss(student, teacher, batch.label, epoch=epoch, epochs=4, scale=20, weight=0.5)
    torch.testing.assert_close(loss.total, expected, atol=1e-5, rtol=1e-5)
    assert ("psd" in loss.parts) == (epoch > 0)
    ours, plain = (torch.autograd.grad(value, method.student.head.weight, retain_graph=True)[0]
                   for value in (loss.total, expected))
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)


def test_distillation_without_diffusion_is_diffusion_with_weight_zero() -> None:
    plain = build(replace(OPTIONS, diffusion=None))
    zero = build(replace(OPTIONS, diffusion_w=0.0))
    for method in (plain, zero):
        move(method)
    torch.testing.assert_close(plain(make_labelled(0), clock(2)).total, zero(make_labelled(0), clock(2)).total)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it() -> None:
    method = build(replace(OPTIONS, diffusion=None))
    loss = method(make_labelled(0), clock(2))
    assert loss.parts["psd"].abs() < 1e-6
    assert 0 < loss.stats["target_entropy"] <= 1 and loss.stats["psd_weight"] == 2 / 4 * 20


def test_in_half_precision_the_losses_stay_single() -> None:
    method = build(OPTIONS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method(make_labelled(0), clock(1))
    assert {loss.total.dtype, *(term.dtype for term in loss.parts.values())} == {torch.float32}
    loss.total.backward()
    assert method.student.head.weight.grad.isfinite().all()


def test_groups_have_the_rates_of_their_losses() -> None:
    method = build(replace(CASES["margin"], head_lr=3e-5))
    backbone, head, own = method.param_groups()
    assert (backbone.lr_scale, head.lr_scale, own.lr_scale) == pytest.approx((1, 3, 50))
    assert own.weight_decay == 0 and own.params[0] is method.criterion.beta
    assert build(CASES["proxynca"]).param_groups()[2].lr_scale == 50
    assert len(build(OPTIONS).param_groups()) == 2
    learning = {id(p) for p in method.parameters() if p.requires_grad}
    assert learning == {id(p) for group in method.param_groups() for p in group.params}


def test_a_checkpoint_holds_the_teacher_and_the_losss_parameters() -> None:
    method, fresh = build(CASES["margin"]), build(CASES["margin"])
    move(method)
    method.after_epoch(clock(0))
    move(method)
    with torch.no_grad():
        method.criterion.beta.add_(0.5)
    load_trained_state(fresh, trained_state(method))
    ours, theirs = (each(make_labelled(1), clock(2)) for each in (method, fresh))
    assert ours.parts["psd"] > 0 and torch.equal(ours.total, theirs.total)


def test_batch_statistics_stay_frozen_or_not() -> None:
    def mean_after_a_step(frozen: bool) -> torch.Tensor:
        method = ObdSd(TinyBackbone(), replace(OPTIONS, frozen_bn=frozen), classes=CLASSES).train()
        method(make_labelled(0), clock(1))
        assert method.student.backbone.net[1].weight.requires_grad
        assert not method.teacher.backbone.net[1].running_mean.any()
        return method.student.backbone.net[1].running_mean
    assert not mean_after_a_step(True).any() and mean_after_a_step(False).any()


def test_outputs_and_sampler_and_refusals() -> None:
    method = build(replace(OPTIONS, normalise=False)).eval()
    found = method.outputs(make_labelled(0).views["image"])
    assert found["head"].shape == (8, 5) and not torch.allclose(found["head"].norm(dim=1), torch.ones(8))
    assert isinstance(method.encoder(), Encoder) and method.couples_batch
    assert len(method.sampler(torch.arange(20) // 4, 4)) == 5
    with pytest.raises(ValueError, match="does nothing without it"):
        ObdSdOptions(diffusion="softmax")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], dict]:
    folder = tmp_path_factory.mktemp("ranks")
    return run_ranks(folder / "result", Path(__file__).with_name("two_ranks_metric.py")), train_all()


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one(runs: tuple[list[dict], dict], case: str) -> None:
    ranks, alone = runs
    if CASES[case].distil:
        assert not torch.equal(alone[case]["teacher.head.weight/1"], alone[case]["teacher.head.weight/3"])
        assert {"psd/2", "psd/4"} <= alone[case].keys() and "psd/0" not in alone[case]  # as small as rounding, at times
    assert any(name.startswith("gradient/0/criterion") for name in alone[case]) == (case in ("margin", "proxynca"))
    assert alone[case]["gradient/0/student.head.weight"].any()
    for name, value in alone[case].items():
        torch.testing.assert_close(ranks[0][case][name], value, atol=2e-5, rtol=2e-5, msg=lambda m: f"{name}: {m}")
        assert torch.equal(ranks[0][case][name], ranks[1][case][name]), name


def test_training_lowers_the_loss() -> None:
    seen = train(ObdSdOptions(dim=5, criterion="softmax"))
    assert seen["rank/5"] < seen["rank/0"]
