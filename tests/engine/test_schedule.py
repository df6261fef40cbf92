"""Learning rates at the points that are known by hand."""

from __future__ import annotations

import functools
import math

import pytest

from engine.schedule import TrainingPlan, cosine, lr_factor, steps_down

RUN = {"steps_per_epoch": 10, "epochs": 20}


def test_cosine_starts_at_one_and_ends_at_zero() -> None:
    assert cosine(0) == 1
    assert cosine(0.5) == pytest.approx(0.5)
    assert cosine(1) == pytest.approx(0)
    assert cosine(1.7) == pytest.approx(0)


def test_cosine_by_step_never_trains_at_zero() -> None:
    assert lr_factor(step=0, kind="cosine", **RUN) == 1
    assert lr_factor(step=199, kind="cosine", **RUN) > 0


def test_seed_cosine_is_constant_within_an_epoch_and_zero_in_the_last() -> None:
    rates = {lr_factor(step=step, kind="cosine-epoch", **RUN) for step in range(30, 40)}
    assert rates == {0.5 * (1 + math.cos(math.pi * 4 / 20))}
    assert lr_factor(step=190, kind="cosine-epoch", **RUN) == pytest.approx(0)


def test_warmup_rises_linearly_from_above_zero() -> None:
    rates = [lr_factor(step=step, kind="cosine", warmup_epochs=1, **RUN) for step in range(11)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == 1
    differences = {round(b - a, 9) for a, b in zip(rates, rates[1:])}
    assert len(differences) == 1


def test_steps_down_at_milestones() -> None:
    assert [steps_down(epoch, (3, 5)) for epoch in (0, 2, 3, 5)] == pytest.approx([1, 1, 0.1, 0.01])
    assert lr_factor(step=49, kind="step", milestones=(5,), **RUN) == 1
    assert lr_factor(step=50, kind="step", milestones=(5,), **RUN) == pytest.approx(0.1)


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown schedule"):
        lr_factor(step=0, kind="sine", **RUN)


def test_published_byol_rates_come_one_step_late() -> None:
    """46 steps an epoch, 10 epochs of warm-up, a cosine of 800 epochs that ends after 100 (LCR on CUB)."""
    def rate(step: int, epochs: int = 800) -> float:
        return lr_factor(step=step, steps_per_epoch=46, epochs=epochs, kind="cosine-late", warmup_epochs=10)

    assert (rate(0), rate(1), rate(460), rate(461)) == pytest.approx((1, 0, 1, 1))
    assert rate(231) == pytest.approx(230 / 459)
    assert rate(4599) == pytest.approx(0.97, abs=0.005)  # 97 % of the peak at the end
    assert rate(4599, epochs=100) < 1e-5


def test_corrected_byol_rates_at_warm_up_end_and_end() -> None:
    def rate(step: int) -> float:
        return lr_factor(step=step, steps_per_epoch=46, epochs=100, kind="cosine", warmup_epochs=10, start=0.1,
                         floor=0.2)

    assert rate(0) == pytest.approx(0.1 + 0.9 / 461) and rate(460) == 1
    assert rate(459) < 1 and rate(4599) == pytest.approx(0.2, abs=1e-5)


def test_moco_rate_is_constant_within_an_epoch_and_starts_at_the_peak() -> None:
    rates = [lr_factor(step=step, kind="cosine-moco", **RUN) for step in range(0, 200, 10)]
    assert rates[0] == 1 and rates[10] == pytest.approx(0.5) and rates[-1] == pytest.approx(cosine(19 / 20))


def test_the_plug_in_modules_cosine_begins_after_the_warm_up_and_does_not_end() -> None:
    at = functools.partial(lr_factor, steps_per_epoch=10, epochs=5, kind="cosine-pim", warmup_epochs=1.0)
    assert at(step=9) < 1 and at(step=10) == 1
    assert [at(step=10 + t) for t in range(40)] == pytest.approx([0.5 * (1 + math.cos(math.pi * t / 50)) for t in range(40)])
    assert at(step=49) > 0.08 > lr_factor(step=49, steps_per_epoch=10, epochs=5, kind="cosine", warmup_epochs=1.0)


def test_weight_decay_goes_along_a_cosine_where_it_has_another_end() -> None:
    plan = TrainingPlan(4, 8, 1, 5, 0.1, "cosine", 0.0, (), 0.0, 0, 0, 0, decay_floor=0.2)
    assert [plan.decay_factor(step) for step in (0, 10, 20)] == pytest.approx([1, 0.6, 0.2])
    assert TrainingPlan(4, 8, 1, 5, 0.1, "cosine", 0.0, (), 0.0, 0, 0, 0).decay_factor(7) == 1
