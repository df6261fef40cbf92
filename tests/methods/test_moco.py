"""MoCo v2: its loss, its queue, its options."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from methods.moco import Moco, MocoOptions
from stand_ins import TinyBackbone, clock, make_batch


def make_moco(**changes: object) -> Moco:
    torch.manual_seed(0)
    return Moco(TinyBackbone(norm=False), MocoOptions(**({"dim": 6, "queue_size": 10} | changes)), seed=4)


def test_loss_is_cross_entropy_of_the_key_against_the_queue() -> None:
    moco, batch = make_moco(temperature=0.5), make_batch(4)
    query = moco.query(batch.views["query"]).head
    key = moco.key(batch.views["key"]).head
    logits = torch.cat([(query * key).sum(1, keepdim=True), query @ moco.queue.keys.T], dim=1) / 0.5
    loss = moco(batch, clock())
    torch.testing.assert_close(loss.total, F.cross_entropy(logits, torch.zeros(4, dtype=torch.long)))
    assert loss.parts["loss1"] is loss.total


def test_own_image_mask_removes_the_floor() -> None:
    losses = {}
    for mask in ("self", "none"):
        moco = make_moco(queue_mask=mask, temperature=2e-5, queue_size=4)
        batch = make_batch(4)
        batch.views["key"] = batch.views["query"]
        moco(batch, clock())
        moco.after_step(clock())
        losses[mask] = moco(batch, clock(1)).total.item()
    assert losses["self"] < 0.05 and losses["none"] > math.log(2) - 0.05


def test_one_update_and_one_enqueue_per_step() -> None:
    moco = make_moco(momentum=0.75)
    moco.query.head[2].bias.data.fill_(1)
    moco.key.head[2].bias.data.fill_(0)
    moco(make_batch(3), clock())
    moco(make_batch(3, first=3), clock())
    moco.after_step(clock())
    assert moco.key.head[2].bias[0].item() == pytest.approx(0.25)
    assert moco.queue.ids.tolist() == [0, 1, 2, 3, 4, 5, -1, -1, -1, -1] and moco.pending == []


def test_views_follow_the_options() -> None:
    views = make_moco(source="crop", size=32, view_recipe="small").views()
    assert {(v.source, v.recipe, v.size) for v in views.values()} == {("crop", "small", 32)}
    assert set(views) == {"query", "key"}


def test_linear_head_of_version_one() -> None:
    moco = make_moco(mlp=False)
    moco(make_batch(2), clock()).total.backward()
    assert moco.query.head.weight.shape == (6, 12) and moco.query.head.weight.grad.abs().max() > 0


def test_outputs_are_the_query_encoders() -> None:
    features = make_moco().eval().outputs(make_batch(2).views["query"])
    assert {name: tuple(value.shape) for name, value in features.items()} == {"backbone": (2, 12), "head": (2, 6)}
