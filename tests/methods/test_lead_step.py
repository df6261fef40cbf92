"""LEAD++: what moves, learns and is remembered within an optimiser step."""

from __future__ import annotations

import math

import pytest
import torch

from methods.lead import Lead, LeadOptions
from stand_ins import TinyBackbone, clock, make_batch, make_guide


def make_lead(options: LeadOptions) -> Lead:
    torch.manual_seed(1)
    return Lead(TinyBackbone(), make_guide(), options, seed=2)


def count_updates(lead: Lead, steps: int, micro: int) -> float:
    """How often a key parameter moved by half the distance to a query parameter that stands still at 1."""
    lead.query.head[2].bias.data.fill_(1)
    lead.key.head[2].bias.data.fill_(0)
    for step in range(steps):
        for number in range(micro):
            lead(make_batch(4, seed=number), clock(step))
        lead.after_step(clock(step))
    return -math.log2(1 - lead.key.head[2].bias[0].item())


def test_keys_move_once_per_step_and_three_times_in_the_seed() -> None:
    settings = {"queue_size": 16, "momentum": 0.5}
    assert count_updates(make_lead(LeadOptions.default(**settings)), steps=2, micro=3) == pytest.approx(2)
    assert count_updates(make_lead(LeadOptions.seed(**settings)), steps=2, micro=1) == pytest.approx(6)


def test_accumulated_keys_are_enqueued_together_and_a_skipped_step_forgets_them() -> None:
    lead = make_lead(LeadOptions.default(queue_size=16))
    lead(make_batch(3), clock())
    lead.clear_pending()
    lead(make_batch(3, first=10), clock())
    lead(make_batch(3, first=20), clock())
    assert int(lead.queue1.pointer) == 0
    lead.after_step(clock())
    assert lead.queue1.ids[:7].tolist() == [10, 11, 12, 20, 21, 22, -1] and int(lead.queue2.pointer) == 6


def test_passes_and_branch_statistics() -> None:
    for options, passes in ((LeadOptions.default(queue_size=16), 2), (LeadOptions.seed(queue_size=16), 3)):
        lead = make_lead(options)
        lead(make_batch(4), clock())
        counts = [norm.num_batches_tracked.item() for norm in (lead.query.backbone.net[1], lead.key.backbone.net[1])]
        assert counts == [passes, passes] and lead.query.attention.bn.num_batches_tracked.item() == 1


def test_frozen_batch_norm_holds_in_both_encoders() -> None:
    lead = make_lead(LeadOptions.default(queue_size=16, frozen_bn=True)).train()
    lead(make_batch(4), clock())
    counts = [norm.num_batches_tracked.item() for norm in (lead.query.backbone.net[1], lead.key.backbone.net[1])]
    assert counts == [0, 0] and lead.query.attention.bn.num_batches_tracked.item() == 1


def test_every_trainable_parameter_learns_and_nothing_else() -> None:
    lead = make_lead(LeadOptions.default(queue_size=16, backbone_lr_scale=0.1, head_warmup_epochs=3))
    lead(make_batch(4), clock()).total.backward()
    groups = lead.param_groups()
    given = [p for group in groups for p in group.params]
    assert len({id(p) for p in given}) == len(given) == sum(p.requires_grad for p in lead.parameters())
    assert all(p.grad is not None for p in given)
    assert [(g.lr_scale, g.start_epoch) for g in groups] == [(0.1, 3), (1.0, 0)]
    assert not any(name.startswith(("key.", "guide.")) for name, p in lead.named_parameters() if p.requires_grad)
