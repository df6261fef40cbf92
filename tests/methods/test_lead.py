"""LEAD++ against its plain transcription, and what happens when within a step."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks.reference.lead import ReferenceLead
from datasets.loader import Batch
from datasets.views.recipes import View, make_transform
from methods.lead import Lead, LeadOptions
from models.backbones import build_backbone
from models.teachers.guide import BankGuide, Prototypes
from stand_ins import WIDTH, TinyBackbone, clock, make_batch, make_guide

TERMS = ("loss1", "loss2", "loss3", "cam", "distill", "total")


def make_lead(options: LeadOptions, *, norm: bool = True) -> Lead:
    torch.manual_seed(1)
    return Lead(TinyBackbone(norm=norm), make_guide(), options, seed=2)


def make_reference(lead: Lead, recipe: str, num_classes: int | None) -> ReferenceLead:
    """The transcription with the same weights and queues."""
    prototypes = lead.guide.prototypes["text"]
    reference = ReferenceLead(
        copy.deepcopy(lead.query.backbone), WIDTH, copy.deepcopy(lead.guide.teacher), prototypes.rows, recipe=recipe,
        queue_size=len(lead.queue1), num_classes=num_classes, tau=float(prototypes.temperature),
    )  # fmt: skip
    reference.encoder_q.fc.load_state_dict(lead.query.head.state_dict())
    reference.encoder_k = copy.deepcopy(reference.encoder_q).requires_grad_(False)
    reference.conv16.load_state_dict(lead.query.attention.conv.state_dict())
    reference.bn16.load_state_dict(lead.query.attention.bn.state_dict())
    reference.queue1, reference.queue2 = lead.queue1.keys.clone(), lead.queue2.keys.clone()
    return reference


def named_terms(terms: object) -> dict[str, Tensor]:
    return {name: getattr(terms, name).detach() for name in TERMS}


def compare_steps(lead: Lead, reference: ReferenceLead, *, tolerance: float) -> None:
    """Three steps of plain SGD on both: terms, gradients, weights of the key encoder, queues. Images repeat."""
    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=1e-3) for m in (lead, reference)]
    for step in range(3):
        batch = make_batch(4, first=4 * (step % 2), seed=step)
        loss = lead(batch, clock(step))
        terms = reference(*(batch.views[f"v{n}"] for n in range(1, 5)), batch.index)
        ours = {name: value.detach() for name, value in loss.parts.items()} | {"total": loss.total.detach()}
        torch.testing.assert_close(ours, named_terms(terms), atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(lead.monitor["entropy"], terms.entropy, atol=1e-5, rtol=0)
        loss.total.backward()
        terms.total.backward()
        pairs = zip(lead.query.backbone.parameters(), reference.encoder_q.trunk.parameters(), strict=True)
        for mine, theirs in [*pairs, (lead.query.attention.conv.weight, reference.conv16.weight)]:
            torch.testing.assert_close(mine.grad, theirs.grad, atol=10 * tolerance, rtol=10 * tolerance)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        lead.after_step(clock(step))
        reference.finish()
        assert torch.equal(lead.queue2.ids, reference.ids2)
        torch.testing.assert_close(lead.queue1.keys, reference.queue1, atol=1e-5, rtol=0)
        torch.testing.assert_close(lead.queue2.keys, reference.queue2, atol=1e-5, rtol=0)
        torch.testing.assert_close(lead.key.head[2].weight, reference.encoder_k.fc[2].weight, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("float64")
def test_default_recipe_is_the_transcription() -> None:
    lead = make_lead(LeadOptions.default(queue_size=11))
    compare_steps(lead, make_reference(lead, "default", None), tolerance=1e-8)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("num_classes", [None, 200])
def test_seed_recipe_is_the_transcription(num_classes: int | None) -> None:
    lead = make_lead(LeadOptions.seed(num_classes, queue_size=16))
    compare_steps(lead, make_reference(lead, "seed", num_classes), tolerance=1e-8)


def test_recipes_differ_in_every_term_that_the_facts_touch() -> None:
    batch = make_batch(4)
    ours = make_lead(LeadOptions.default(queue_size=16))(batch, clock())
    seed = make_lead(LeadOptions.seed(200, queue_size=16))(batch, clock())
    assert all((ours.parts[name] - seed.parts[name]).abs() > 1e-4 for name in ("loss1", "loss3", "cam", "distill"))


@pytest.mark.parametrize("fact", [
    {"queue_mask": "none"}, {"early_enqueue": True}, {"entropy_classes": 200}, {"distill_sum": True}, {"cam": "rows"},
    {"attention_normalise": "batch"}, {"six_passes": True}, {"log_of_softmax": True}, {"shuffle_keys": True},
])  # fmt: skip
def test_every_fact_can_be_turned_on_alone(fact: dict[str, object]) -> None:
    lead = make_lead(LeadOptions.default(queue_size=16, **fact))
    loss = lead(make_batch(4), clock())
    loss.total.backward()
    lead.after_step(clock())
    assert loss.total.isfinite() and lead.queue1.ids.tolist()[:5] == [0, 1, 2, 3, -1]
    assert lead.queue2.ids.tolist()[:5] == [0, 1, 2, 3, -1] and lead.pending == []


def test_total_is_the_weighted_sum_of_its_terms() -> None:
    loss = make_lead(LeadOptions.default(queue_size=16, cosine_weight=0.3))(make_batch(4), clock())
    part = loss.parts
    contrast = 0.5 * (part["loss1"] + 0.1 * part["loss2"] + part["loss3"])
    expected = contrast + 32 * 0.001 * 0.5 * part["cam"] + part["distill"] + 0.3 * part["cosine"]
    torch.testing.assert_close(loss.total, expected)


def test_distillation_equals_the_seed_at_its_batch_of_32() -> None:
    batch = make_batch(32)
    mean = make_lead(LeadOptions.default(queue_size=16))(batch, clock()).parts["distill"]
    total = make_lead(LeadOptions.default(queue_size=16, distill_sum=True))(batch, clock()).parts["distill"]
    torch.testing.assert_close(mean, total)


def test_uniform_teacher_leaves_contrast_only() -> None:
    torch.manual_seed(0)
    guide = BankGuide(torch.eye(8)[:1].expand(4, -1), {"text": Prototypes(torch.eye(8)[1:], 0.1)})
    lead = Lead(TinyBackbone(), guide, LeadOptions.default(queue_size=16), seed=0)
    loss = lead(make_batch(4), clock())
    assert loss.stats["entropy"].item() == pytest.approx(1, abs=1e-5)
    assert loss.parts["distill"].abs().item() < 1e-3 and loss.stats["gate"].abs().item() < 1e-4
    assert loss.parts["loss1"].item() == pytest.approx(loss.stats["nce1"].item(), rel=1e-5)


def test_third_term_of_the_seed_has_its_own_key_among_the_negatives() -> None:
    """Positive and own negative are one key: no query can push the loss below log 2."""
    cold = {"queue_size": 16, "temperature": 2e-5, "momentum": 0.0}
    batch = make_batch(2)
    batch.views["v4"] = batch.views["v3"]  # key equals query, the easiest case there is
    recipes = (LeadOptions.seed(**cold), LeadOptions.default(**cold))
    seed, ours = (make_lead(options, norm=False)(batch, clock()) for options in recipes)
    assert seed.stats["nce3"].item() == pytest.approx(math.log(2), abs=0.05)
    assert ours.stats["nce3"].item() < 0.05


def test_own_images_are_left_out_of_the_negatives() -> None:
    lead = make_lead(LeadOptions.default(queue_size=8), norm=False)
    batch = make_batch(4)
    lead(batch, clock())
    lead.after_step(clock())
    masked = lead(batch, clock(1)).stats
    lead.options = LeadOptions.default(queue_size=8, queue_mask="none")
    open_ = lead(batch, clock(1)).stats
    assert masked["self_mass"] > 0.05 and masked["nce1"] < open_["nce1"] - 0.05


def test_two_sets_of_prototypes_have_their_own_gates() -> None:
    torch.manual_seed(0)
    sets = {"text": Prototypes(torch.randn(5, 8), 0.05), "image": Prototypes(torch.randn(9, 8), 0.5)}
    lead = Lead(TinyBackbone(), BankGuide(torch.randn(4, 8), sets), LeadOptions.default(queue_size=16), seed=0)
    loss = lead(make_batch(4), clock())
    stats = loss.stats
    torch.testing.assert_close(loss.parts["distill"].detach(), stats["distill_text"] + stats["distill_image"])
    torch.testing.assert_close(stats["entropy"], (stats["entropy_text"] + stats["entropy_image"]) / 2)
    weight = lead.monitor["entropy"].square()
    assert loss.parts["loss1"].item() == pytest.approx((weight * stats["nce1"]).mean().item(), rel=0.2)


def test_what_is_logged_of_each_image_is_what_the_step_did_with_it() -> None:
    torch.manual_seed(0)
    sets = {"text": Prototypes(torch.randn(5, 8), 0.05), "image": Prototypes(torch.randn(9, 8), 0.5)}
    lead = Lead(TinyBackbone(), BankGuide(torch.randn(4, 8), sets), LeadOptions.default(queue_size=16), seed=0)
    batch = make_batch(4)
    stats = lead(batch, clock()).stats
    found = lead.per_image
    answer, student = lead.guide.bank, lead.query(batch.views["v3"]).known_head.detach()
    text, image = (guide.rows for guide in lead.guide.sets().values())
    assert found["teacher"].tolist() == (answer @ text.T).argmax(dim=1).tolist()
    for row in range(4):  # a plain loop
        hs = [torch.special.entr((answer[row] @ some.T / tau).softmax(0)).sum() / math.log(len(some))
              for some, tau in ((text, 0.05), (image, 0.5))]
        assert found["entropy"][row].item() == pytest.approx(sum(hs).item() / 2, abs=1e-5)
        assert found["contrast"][row].item() == pytest.approx((sum(hs).item() / 2) ** 2, abs=1e-5)
        assert found["distill"][row].item() == pytest.approx(1 - sum(h.item() ** 2 for h in hs) / 2, abs=1e-5)
        doubts = [torch.special.entr((student[row] @ some.T / tau).softmax(0)).sum() / math.log(len(some))
                  for some, tau in ((text, 0.05), (image, 0.5))]
        assert found["student_entropy"][row].item() == pytest.approx(sum(doubts).item() / 2, abs=1e-4)
        agree = [bool((answer[row] @ some.T).argmax() == (student[row] @ some.T).argmax()) for some in (text, image)]
        assert found["agreement"][row].item() == sum(agree) / 2
    torch.testing.assert_close(stats["agreement"], found["agreement"].mean())
    assert not any(values.requires_grad for values in found.values())


def test_without_a_guide_contrast_and_cam_remain() -> None:
    torch.manual_seed(0)
    lead = Lead(TinyBackbone(), None, LeadOptions.default(queue_size=16, dim=6), seed=0)
    loss = lead(make_batch(4), clock())
    loss.total.backward()
    assert loss.parts["distill"] == 0 and loss.parts["loss3"] == loss.stats["nce3"]
    assert lead.queue1.keys.shape == (16, 6) and lead.monitor == {} and lead.per_image == {}


def test_frozen_teacher_stays_out_of_the_state_and_prototypes_stay_in() -> None:
    lead = make_lead(LeadOptions.default(queue_size=16))
    kept = [name for name in lead.state_dict() if not name.startswith(tuple(f"{n}." for n in lead.frozen))]
    assert "guide.prototypes.text.rows" in kept and "guide.prototypes.text.temperature" in kept
    assert not any("teacher" in name for name in kept) and "queue2.ids" in kept and "key.head.2.bias" in kept


def test_bfloat16_autocast_keeps_losses_float32_and_close() -> None:
    batch = make_batch(8)
    exact = make_lead(LeadOptions.default(queue_size=16))(batch, clock())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = make_lead(LeadOptions.default(queue_size=16))(batch, clock())
    assert all(term.dtype == torch.float32 for term in (rough.total, *rough.parts.values()))
    assert rough.parts["loss1"].item() == pytest.approx(exact.parts["loss1"].item(), rel=0.05)
    rough.total.backward()


@pytest.mark.shared
def test_on_photographs_the_published_cam_target_is_uniform_and_ours_is_not(shared_data: Path) -> None:
    paths = sorted((shared_data / "cub10" / "train").rglob("*.jpg"))[::40][:8]
    look = make_transform(View("full", "eval", 160))
    pixels = torch.stack([look(Image.open(path).convert("RGB")) for path in paths])
    batch = Batch({f"v{n}": pixels for n in range(1, 5)}, torch.arange(8), torch.full((8,), -1))
    entropy, keys = {}, {"ours": "cam_entropy", "seed": "cam_entropy_seed"}
    for name, options in (("ours", LeadOptions.default(queue_size=64)), ("seed", LeadOptions.seed(queue_size=64))):
        torch.manual_seed(0)
        backbone = build_backbone("tf_efficientnet_lite0", "package:efficientnet-lite0")
        guide = BankGuide(torch.randn(8, 16), {"image": Prototypes(torch.randn(20, 16), 0.1)})
        entropy[name] = Lead(backbone, guide, options)(batch, clock()).stats[keys[name]].item()
    assert entropy["ours"] < 0.9 and entropy["seed"] > 1 - 1e-4


def test_without_contrast_one_view_teaches_the_same_as_four() -> None:
    """A weight of 0 leaves distillation and cosine: their gradients are those of the whole method's total, and no
    other view is asked for, no rationale kept.
    """
    alone = make_lead(LeadOptions.default(queue_size=11, alpha=0.0, cosine_weight=0.5), norm=False)
    whole = make_lead(LeadOptions.default(queue_size=11, alpha=1e-12, cosine_weight=0.5), norm=False)
    whole.query.backbone.load_state_dict(alone.query.backbone.state_dict())
    whole.query.head.load_state_dict(alone.query.head.state_dict())
    assert set(alone.views()) == {"v3"} and alone.query.attention is None
    losses = [lead(make_batch(4), clock()) for lead in (alone, whole)]
    for loss in losses:
        loss.total.backward()
    torch.testing.assert_close(losses[0].total, losses[1].total, atol=1e-5, rtol=0)
    assert set(losses[0].parts) == {"distill", "cosine"}
    pairs = zip(alone.query.backbone.parameters(), whole.query.backbone.parameters(), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=0)
    alone.after_step(clock())


def test_the_public_arithmetic_keeps_all_its_passes() -> None:
    assert set(make_lead(LeadOptions.seed(alpha=0.0, queue_size=11)).views()) == {"v1", "v2", "v3", "v4"}
