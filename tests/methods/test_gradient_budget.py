"""What pulls how hard at LEAD's maps, against gradients taken one by one; and the ratio that a balance holds."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from test_distributed import run_ranks
from torch import Tensor
from two_ranks_gradients import take_step

from datasets.sampling.batches import EpochBatches
from engine import checkpoint
from engine.gradients.balance import MOST, Balance
from engine.gradients.budget import GradientBudget, read_weights
from engine.logger import Logger
from engine.schedule import TrainingPlan
from engine.trainer import Trainer
from methods.lead import Lead, LeadOptions
from stand_ins import TinyBackbone, clock, make_batch, make_guide

OPTIONS = LeadOptions.default(queue_size=16, cosine_weight=0.3)
WEIGHTS = {"loss1": 0.5, "loss2": 0.05, "loss3": 0.5, "cam": 0.5 * 32 * 0.001, "distill": 1.0, "cosine": 0.3}


def make_lead(*, norm: bool = True) -> Lead:
    torch.manual_seed(1)
    return Lead(TinyBackbone(norm=norm), make_guide(), OPTIONS, seed=2)


def take_one_by_one(lead: Lead) -> dict[str, list[float]]:
    """Each term's gradient at the maps of v1 and v3 as a list of numbers, by the weights that the formulas have."""
    maps: list[Tensor] = []
    lead.query.backbone.register_forward_hook(lambda module, inputs, output: maps.append(output))
    loss = lead(make_batch(4), clock())
    rows = {}
    for name, weight in WEIGHTS.items():
        found = torch.autograd.grad(weight * loss.parts[name], maps, retain_graph=True, allow_unused=True)
        rows[name] = [value for one, seen in zip(found, maps)
                      for value in (torch.zeros_like(seen) if one is None else one).double().flatten().tolist()]
    return rows


def product(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def test_norms_and_cosines_are_those_of_gradients_taken_one_by_one() -> None:
    rows, lead = take_one_by_one(make_lead()), make_lead()
    budget = GradientBudget(lead, every=1)
    with budget.watch(0):
        loss = lead(make_batch(4), clock())
    assert budget.weigh(loss) is loss
    found = budget.finish()
    for name, row in rows.items():
        assert found[f"norm_{name}"] == pytest.approx(math.sqrt(product(row, row)), rel=1e-4)
    for one, other in (("loss1", "loss2"), ("loss3", "distill"), ("distill", "cosine"), ("loss3", "cosine")):
        lengths = math.sqrt(product(rows[one], rows[one]) * product(rows[other], rows[other]))
        expected = product(rows[one], rows[other]) / lengths
        assert found[f"cosine_{one}_{other}"] == pytest.approx(expected, abs=1e-4)
    assert "cosine_loss1_distill" not in found  # one is of the whole image, the other of the crop
    total = [math.fsum(values) for values in zip(*rows.values())]
    assert found["norm_total"] == pytest.approx(math.sqrt(product(total, total)), rel=1e-4)
    sides = [[math.fsum(values) for values in zip(*(rows[name] for name in names))] for names in (("distill", "cosine"), ("loss1", "loss2", "loss3"))]
    norms = [math.sqrt(product(side, side)) for side in sides]
    assert found["ratio"] == pytest.approx(norms[0] / norms[1], rel=1e-4)
    assert found["cosine_distillation_contrast"] == pytest.approx(product(*sides) / (norms[0] * norms[1]), abs=1e-4)


def test_the_weights_of_terms_are_read_from_the_total() -> None:
    lead = make_lead()
    found = read_weights(lead(make_batch(4), clock()))
    assert {name: float(weight) for name, weight in found.items()} == pytest.approx(WEIGHTS)


class Batches:
    """The same few batches in every epoch, as a loader."""

    def __init__(self, batches: EpochBatches, accum: int) -> None:
        self.batches, self.accum = batches, accum

    def __iter__(self):
        for number in range(self.batches.start_step, len(self.batches)):
            whole = make_batch(8, seed=number // self.accum)
            part = slice(8 // self.accum * (number % self.accum), 8 // self.accum * (number % self.accum + 1))
            yield type(whole)({name: view[part] for name, view in whole.views.items()}, whole.index[part], whole.label[part])


def train(folder: Path, *, every: int = 0, ratio: float = 0.0, accum: int = 1, epochs: int = 2, stop: int = 0,
          resume: bool = False, norm: bool = True) -> Trainer:
    lead, batches = make_lead(norm=norm), EpochBatches(40, 8 // accum, seed=1)
    plan = TrainingPlan(epochs=epochs, batch_size=8, accum_steps=accum, steps_per_epoch=5, lr=1e-4, schedule="constant",
                        warmup_epochs=0, milestones=(), clip_grad=0, save_every=1, monitor_every=0, seed=0)
    folder.mkdir(exist_ok=True)
    optimizer = torch.optim.SGD([{"params": g.params, "lr_scale": g.lr_scale, "start_epoch": 0} for g in lead.param_groups()], lr=0.01)
    trainer = Trainer(lead, optimizer=optimizer, batches=batches, loader=Batches(batches, accum), plan=plan, device=torch.device("cpu"),
                      number_format="fp32", folder=folder, logger=Logger(folder), monitor=lambda m, e: {}, names=["x"] * 40,
                      identity={}, budget=GradientBudget(lead, every, Balance(ratio) if ratio else None))
    if resume:
        trainer.resume(checkpoint.load_resume_state(folder))
    if stop:
        save = trainer.save_within_epoch

        def die() -> None:
            save()
            if trainer.step == stop:
                raise KeyboardInterrupt

        trainer.save_within_epoch = die
    with suppress(KeyboardInterrupt):
        trainer.fit()
    return trainer


def read_rows(folder: Path, kind: str) -> list[dict]:
    return [row for row in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if row["kind"] == kind]


def same(one: Trainer, other: Trainer) -> bool:
    first, second = one.method.state_dict(), other.method.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_measuring_leaves_every_bit_of_the_run_as_it_is(tmp_path: Path) -> None:
    plain, watched = train(tmp_path / "a"), train(tmp_path / "b", every=3)
    assert same(plain, watched)
    assert read_rows(tmp_path / "a", "step") == read_rows(tmp_path / "b", "step")
    assert [row["step"] for row in read_rows(tmp_path / "b", "gradients")] == [1, 4, 7, 10]
    assert not read_rows(tmp_path / "a", "gradients")


def test_micro_batches_are_parts_of_one_step(tmp_path: Path) -> None:
    """Without batch norm, which the rationale branch has, two halves have the gradient of the whole."""
    train(tmp_path / "whole", every=1, epochs=1, norm=False)
    train(tmp_path / "parts", every=1, epochs=1, norm=False, accum=2)
    whole, parts = (read_rows(tmp_path / name, "gradients")[0] for name in ("whole", "parts"))
    compared = {name: value for name, value in whole.items() if name[:4] in ("norm", "cosi", "rati")
                and "cam" not in name and name != "norm_total"}
    assert whole.keys() == parts.keys() and {"norm_loss1", "norm_distill", "ratio"} <= compared.keys()
    assert {name: parts[name] for name in compared} == pytest.approx(compared, rel=1e-4)


@pytest.mark.parametrize("ratio", [0.2, 3.0])
def test_a_balance_brings_the_norms_to_the_ratio_and_holds_them(tmp_path: Path, ratio: float) -> None:
    train(tmp_path / "free", every=1, epochs=30)
    train(tmp_path / "held", every=1, epochs=30, ratio=ratio)
    free, held = ([row["ratio"] for row in read_rows(tmp_path / name, "gradients")] for name in ("free", "held"))
    assert held[0] == free[0]  # the first step has seen nothing yet
    late = math.exp(sum(map(math.log, held[-50:])) / 50)
    assert late == pytest.approx(ratio, rel=0.15) and abs(sum(free[-50:]) / 50 - ratio) > 0.3 * ratio


def test_a_balanced_run_continues_exactly(tmp_path: Path) -> None:
    whole = train(tmp_path / "a", ratio=0.5)
    train(tmp_path / "b", ratio=0.5, stop=4)
    resumed = train(tmp_path / "b", ratio=0.5, resume=True)
    assert same(whole, resumed) and whole.budget.state_dict() == resumed.budget.state_dict()
    assert not same(whole, train(tmp_path / "c"))


def test_factor_by_hand() -> None:
    balance = Balance(2.0)
    assert balance.factor == 1
    balance.observe(4.0, 6.0)
    assert balance.factor == pytest.approx(2 * 6 / 4)
    for distillation, contrast in ((float("inf"), 1.0), (float("nan"), 1.0), (0.0, 1.0), (1.0, 0.0)):
        balance.observe(distillation, contrast)
    assert balance.factor == pytest.approx(3)
    balance.observe(1.0, 1.0)
    mean = (0.98 * math.log(4 / 6) + math.log(1.0)) / 1.98
    assert balance.factor == pytest.approx(2 / math.exp(mean))
    faint = Balance(2.0)
    faint.observe(1e-30, 1.0)
    assert faint.factor == pytest.approx(MOST)


def measure(scale: float = 1.0) -> dict[str, float]:
    lead = make_lead()
    budget = GradientBudget(lead, every=1)
    with budget.watch(0):
        loss = lead(make_batch(4), clock())
    budget.weigh(loss, scale)
    return budget.finish()


def test_the_scale_of_float16_is_in_no_number() -> None:
    assert measure(1024.0) == pytest.approx(measure(), rel=1e-4)


def test_two_ranks_measure_what_one_does(tmp_path: Path) -> None:
    first, second = run_ranks(tmp_path / "result", Path(__file__).with_name("two_ranks_gradients.py"))
    alone = take_step(0, 1)
    assert first["balance"] == second["balance"] == pytest.approx(alone["balance"], rel=1e-4)
    assert first["numbers"] == second["numbers"] == pytest.approx(alone["numbers"], rel=1e-3)


def test_the_weights_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lead, calls = make_lead(), []
    budget = GradientBudget(lead, every=1, balance=Balance(0.5))
    with budget.watch(0):
        loss = lead(make_batch(4), clock())
    monkeypatch.setattr("engine.gradients.budget.read_weights", lambda of: calls.append(1) or read_weights(of))
    budget.weigh(loss)
    assert len(calls) == 1
