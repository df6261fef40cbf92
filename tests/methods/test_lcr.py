"""LCR on both paths against its plain transcription, and what the corrections are for."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.reference.lcr import ReferenceLcrByol, ReferenceLcrMoco, find_default_cam
from datasets.loader import Batch
from datasets.views.recipes import View, make_transform
from methods.byol import ByolOptions
from methods.lcr import LcrByol, LcrMoco
from methods.moco import MocoOptions
from methods.rationale import RationaleOptions
from models.backbones import build_backbone
from stand_ins import WIDTH, TinyBackbone, clock, make_batch

Lcr = LcrMoco | LcrByol
MOCO = MocoOptions(dim=6, queue_size=16, queue_mask="none")
BYOL = ByolOptions(dim=6, hidden=20)


def make_moco(rationale: RationaleOptions, options: MocoOptions = MOCO) -> LcrMoco:
    torch.manual_seed(1)
    return LcrMoco(TinyBackbone(), options, rationale, seed=2)


def make_byol(rationale: RationaleOptions) -> LcrByol:
    torch.manual_seed(1)
    return LcrByol(TinyBackbone(), BYOL, rationale)


def make_moco_reference(ours: LcrMoco) -> ReferenceLcrMoco:
    reference = ReferenceLcrMoco(copy.deepcopy(ours.query.backbone), WIDTH, dim=6, queue_size=16)
    reference.fc.load_state_dict(ours.query.head.state_dict())
    reference.trunk_k, reference.fc_k = copy.deepcopy(reference.trunk), copy.deepcopy(reference.fc)
    reference.branch.load_state_dict(ours.query.attention.state_dict())
    reference.queue = ours.queue.keys.T.clone()
    return reference


def make_byol_reference(ours: LcrByol) -> ReferenceLcrByol:
    reference = ReferenceLcrByol(copy.deepcopy(ours.encoder().backbone), WIDTH, dim=6, hidden=20)
    reference.projector.load_state_dict(ours.online.head.state_dict())
    reference.predictor.load_state_dict(ours.predictor.state_dict())
    reference.trunk_t, reference.projector_t = copy.deepcopy(reference.trunk), copy.deepcopy(reference.projector)
    reference.branch.load_state_dict(ours.encoder().attention.state_dict())
    return reference


def compare_steps(ours: Lcr, reference: nn.Module, names: tuple[str, str]) -> None:
    """Three steps of plain SGD on both: terms, gradients of backbone and branch, statistics of the branch."""
    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=0.05) for m in (ours, reference)]
    branch = ours.encoder().attention
    for step in range(3):
        batch = make_batch(4, first=4 * step, seed=step)
        loss, terms = ours(batch, clock(step)), reference(*(batch.views[name] for name in names))
        mine = {"cam": loss.parts["cam"], "total": loss.total, "ssl": loss.total - 0.01 * loss.parts["cam"]}
        wanted = {"cam": terms.cam, "total": terms.total, "ssl": terms.ssl}
        torch.testing.assert_close(mine, wanted, atol=1e-5, rtol=1e-5)
        loss.total.backward()
        terms.total.backward()
        pairs = zip(ours.encoder().backbone.parameters(), reference.trunk.parameters(), strict=True)
        for own, plain in [*pairs, (branch.conv.weight, reference.branch.conv.weight)]:
            torch.testing.assert_close(own.grad, plain.grad, atol=1e-5, rtol=1e-4)
            assert plain.grad.abs().max() > 1e-4
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        ours.after_step(clock(step))
        torch.testing.assert_close(branch.bn.running_mean, reference.branch.bn.running_mean, atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("float64")
def test_moco_seed_recipe_is_the_transcription() -> None:
    ours = make_moco(RationaleOptions.seed("rows"))
    compare_steps(ours, make_moco_reference(ours), ("query", "key"))


@pytest.mark.usefixtures("float64")
def test_byol_seed_recipe_is_the_transcription() -> None:
    ours = make_byol(RationaleOptions.seed("positions"))
    compare_steps(ours, make_byol_reference(ours), ("v1", "v2"))


@pytest.mark.usefixtures("float64")
def test_default_term_is_the_literal_one_on_both_paths() -> None:
    for ours in (make_moco(RationaleOptions()), make_byol(RationaleOptions())):
        twin = copy.deepcopy(ours)
        loss = ours(make_batch(4), clock())
        seen: dict[str, Tensor] = {}
        combine = twin.combine

        def spy(view: object, *rest: object, combine=combine, seen=seen) -> object:  # what the loss was made of
            losses = rest[1].loss if len(rest) == 2 and hasattr(rest[1], "loss") else rest[0]
            branch = copy.deepcopy(twin.encoder().attention)
            seen["cam"] = find_default_cam(losses, view.map, branch)
            return combine(view, *rest)

        twin.combine = spy
        twin(make_batch(4), clock())
        torch.testing.assert_close(loss.parts["cam"], seen["cam"], atol=1e-5, rtol=1e-5)
        ssl = loss.parts["loss1"] if "loss2" not in loss.parts else (loss.parts["loss1"] + loss.parts["loss2"]) / 2
        torch.testing.assert_close(loss.total, ssl + 1.28 * loss.parts["cam"])


@pytest.mark.parametrize("make, cam", [(make_moco, "rows"), (make_byol, "positions")])
def test_detached_target_reaches_the_backbone_through_the_prediction_only(make, cam: str) -> None:
    """With a branch that says the same everywhere, Q has no gradient at the map; only an attached P has one."""
    gradients = {}
    for name, options in (("ours", RationaleOptions(weight=1.0)), ("seed", RationaleOptions.seed(cam, weight=1.0))):
        method = make(options)
        nn.init.zeros_(method.encoder().attention.conv.weight)
        nn.init.zeros_(method.encoder().attention.bn.weight)
        term = method(make_batch(4), clock()).parts["cam"]
        (gradients[name],) = torch.autograd.grad(term, method.encoder().backbone.net[0].weight)
    assert gradients["ours"].abs().max() == 0 and gradients["seed"].abs().max() > 0


@pytest.mark.parametrize("make", [make_moco, make_byol])
def test_rationale_leaves_projector_predictor_and_copies_alone(make) -> None:
    method = make(RationaleOptions())
    method(make_batch(4), clock()).parts["cam"].backward()
    touched = {name for name, p in method.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert touched and all("backbone" in name or "attention" in name for name in touched)


@pytest.mark.parametrize("make", [make_moco, make_byol])
def test_sign_turns_the_target_round(make) -> None:
    options = {"loss": RationaleOptions(), "similarity": RationaleOptions(sign="similarity")}
    cams = {name: make(some)(make_batch(4), clock()).parts["cam"].item() for name, some in options.items()}
    assert abs(cams["loss"] - cams["similarity"]) > 1e-3


def test_sums_couple_a_batch_and_means_do_not() -> None:
    assert make_moco(RationaleOptions.seed("rows")).couples_batch and not make_moco(RationaleOptions()).couples_batch
    assert make_byol(RationaleOptions.seed("positions")).couples_batch and not make_byol(RationaleOptions()).couples_batch


@pytest.mark.parametrize("make", [make_moco, make_byol])
def test_descriptor_does_not_depend_on_its_neighbours(make) -> None:
    images = make_batch(6).views["v1"]
    ours, seed = make(RationaleOptions()).eval(), make(RationaleOptions(normalise="batch")).eval()
    for network in (ours, seed):  # a map whose minimum is above zero, as a trained branch's is
        nn.init.constant_(network.encoder().attention.bn.bias, 0.5)
    gap = {}
    for name, network in (("ours", ours), ("seed", seed), ("seed in training", seed)):
        network.encoder().attention.training = name == "seed in training"
        whole = network.outputs(images)["masked"]
        alone = torch.cat([network.outputs(images[n : n + 1])["masked"] for n in range(6)])
        gap[name] = (whole - alone).abs().max().item()
    assert gap["ours"] < 1e-5 and gap["seed"] < 1e-5 and gap["seed in training"] > 1e-4


def test_bfloat16_autocast_keeps_the_target() -> None:
    batch = make_batch(8)
    for make in (make_moco, make_byol):
        exact = make(RationaleOptions())(batch, clock())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = make(RationaleOptions())(batch, clock())
        assert rough.parts["cam"].dtype == torch.float32
        assert rough.stats["cam_entropy"].item() == pytest.approx(exact.stats["cam_entropy"].item(), abs=0.05)
        rough.total.backward()


@pytest.mark.shared
@pytest.mark.parametrize("path", ["moco", "byol"])
def test_on_photographs_the_published_target_is_uniform_and_ours_is_not(shared_data: Path, path: str) -> None:
    paths = sorted((shared_data / "cub10" / "train").rglob("*.jpg"))[::40][:8]
    look = make_transform(View("full", "eval", 160))
    pixels = torch.stack([look(Image.open(path).convert("RGB")) for path in paths])
    batch = Batch(dict.fromkeys(("query", "key", "v1", "v2"), pixels), torch.arange(8), torch.full((8,), -1))
    backbone = build_backbone("tf_efficientnet_lite0", "package:efficientnet-lite0")
    method = LcrMoco(backbone, MOCO, RationaleOptions()) if path == "moco" else LcrByol(backbone, BYOL, RationaleOptions())
    stats = method(batch, clock()).stats
    assert stats["cam_entropy_seed"] > 1 - 1e-4
    assert stats["cam_entropy"] < 0.9 and not math.isnan(stats["cam_entropy"])
