"""BYOL: its loss, its target network, its views."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from benchmarks.reference.lcr import ReferenceLcrByol
from methods.byol import Byol, ByolOptions
from methods.method import Clock
from stand_ins import TinyBackbone, clock, make_batch


def make_byol(**changes: object) -> Byol:
    torch.manual_seed(0)
    return Byol(TinyBackbone(), ByolOptions(**({"dim": 6, "hidden": 20} | changes)))


def test_loss_is_the_negative_cosine_of_prediction_and_target_both_ways() -> None:
    byol, batch = make_byol(), make_batch(4)
    online = [byol.predictor(byol.online(batch.views[name]).projection) for name in ("v1", "v2")]
    target = [byol.target(batch.views[name]).projection for name in ("v2", "v1")]
    expected = [-(F.normalize(p, dim=1) * F.normalize(z, dim=1)).sum(dim=1).mean() for p, z in zip(online, target)]
    loss = byol(batch, clock())
    torch.testing.assert_close([loss.parts["loss1"], loss.parts["loss2"]], expected)
    torch.testing.assert_close(loss.total, sum(expected) / 2)
    assert -1 <= loss.total.item() <= 1


def test_views_are_asymmetric() -> None:
    views = make_byol(size=48, source="crop").views()
    assert {name: (v.source, v.recipe, v.size) for name, v in views.items()} == {
        "v1": ("crop", "byol1", 48), "v2": ("crop", "byol2", 48)}


def test_target_moves_parameters_only_and_learns_nothing() -> None:
    byol = make_byol(momentum=0.75)
    byol.online.head[0].bias.data.fill_(1)
    byol.target.head[0].bias.data.fill_(0)
    before = byol.target.encoder.backbone.net[1].running_mean.clone()
    byol(make_batch(4), clock()).total.backward()
    statistics = byol.target.encoder.backbone.net[1].running_mean.clone()
    assert not torch.equal(before, statistics)  # it runs in train mode, with statistics of its own
    byol.after_step(clock())
    assert byol.target.head[0].bias[0].item() == pytest.approx(0.25)
    assert torch.equal(byol.target.encoder.backbone.net[1].running_mean, statistics)
    assert all(p.grad is None for p in byol.target.parameters())
    assert all(p.grad is not None for name, p in byol.named_parameters() if not name.startswith("target"))


def test_momentum_is_constant_or_rises_to_one() -> None:
    constant, cosine = make_byol(momentum=0.9), make_byol(momentum=0.9, momentum_schedule="cosine")
    at = [Clock(step, 10, 0, 1) for step in (0, 5, 10)]
    assert [constant.momentum(now) for now in at] == [0.9, 0.9, 0.9]
    assert [cosine.momentum(now) for now in at] == pytest.approx([0.9, 0.95, 1.0])


@pytest.mark.usefixtures("float64")
def test_three_steps_are_the_transcription() -> None:
    """The target of the public code moves before it looks, ours after the step: the same sequence."""
    byol = make_byol()
    reference = ReferenceLcrByol(torch.nn.Module(), 12, dim=6, hidden=20, rationale=False)
    reference.trunk, reference.trunk_t = (make_byol().encoder().backbone for _ in range(2))
    reference.trunk_t.requires_grad_(False)
    for part in (reference.projector, reference.projector_t):
        part.load_state_dict(byol.online.head.state_dict())
    reference.predictor.load_state_dict(byol.predictor.state_dict())
    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=0.1) for m in (byol, reference)]
    for step in range(3):
        batch = make_batch(4, seed=step)
        loss, plain = byol(batch, clock(step)), reference(batch.views["v1"], batch.views["v2"])
        torch.testing.assert_close(loss.total, plain.total, atol=1e-5, rtol=1e-5)
        loss.total.backward()
        plain.total.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        byol.after_step(clock(step))


def test_export_has_no_head() -> None:
    features = make_byol().eval().outputs(make_batch(2).views["v1"])
    assert {name: tuple(value.shape) for name, value in features.items()} == {"backbone": (2, 12)}
