"""Each rule finds what it is for, says why and what to do, and is silent about a sound run."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from engine.schedule import TrainingPlan
from engine.workflows.around.contents import SharedFiles
from engine.workflows.around.rules import RULES, Prospect, list_risks
from engine.workflows.around.trial import Trial

PLAN = TrainingPlan(epochs=100, batch_size=64, accum_steps=1, steps_per_epoch=93, lr=0.02, schedule="cosine", warmup_epochs=0,
                    milestones=(), clip_grad=0, save_every=0, monitor_every=5, seed=0)
SOUND = Prospect(plan=PLAN, step=0, images={"train": 5994, "test": 5794}, micro_batch=64, norms=53, queues=(4096, 4096),
                 usual_rate=0.02, trial=Trial(0.5, 0.1, 2, 5 * 2**30, 80 * 2**30, "a GPU"))
COPIED = SharedFiles({("train", "test"): [("a.jpg", "b.jpg")] * 3}, {"train": 2})
CASES = {
    "3 of test are training images": {"files": COPIED},
    "2 training images are copies of others": {"files": COPIED},
    "holds 65536 keys of 5994 images.*are left out.*10.9 times": {"queues": (65536,)},
    "own old keys are among its negatives": {"queues": (65536,), "masked": False},
    "53 batch norms learn from 4 images at once": {"micro_batch": 4},
    "leaves out 1898 of 5994 images .32%": {"plan": replace(PLAN, batch_size=4096, steps_per_epoch=1)},
    "11 steps in all are few": {"plan": replace(PLAN, epochs=1, batch_size=512, steps_per_epoch=11)},
    "0.2 is 10 times 0.02": {"plan": replace(PLAN, lr=0.2)},
    "0.002 is 0.1 times 0.02": {"plan": replace(PLAN, lr=0.002)},
    "warm-up takes 100 of 100 epochs: the rate never reaches": {"plan": replace(PLAN, warmup_epochs=100)},
    "warm-up takes 60 of 100 epochs: the rate rises for most": {"plan": replace(PLAN, warmup_epochs=60)},
    "falls at epoch 120, and the run ends after 100": {"plan": replace(PLAN, schedule="step", milestones=(120, 160))},
    "from epoch 101 on, and there are 100": {"latest_start": 100},
    "monitors are off": {"plan": replace(PLAN, monitor_every=0)},
    "crop views are of whole images": {"whole_for_crops": True},
    "epoch takes 2.6 h.*--save-every 9 saves": {"trial": Trial(100.0, 0, 2, 1, 2**40, "")},
    "95% of the memory": {"trial": Trial(0.5, 0, 2, 95, 100, "")},
}


def test_a_sound_run_has_no_risks() -> None:
    assert list_risks(SOUND) == []


@pytest.mark.parametrize("said", CASES)
def test_a_rule_speaks_of_its_own_matter(said: str) -> None:
    found = list_risks(replace(SOUND, **CASES[said]))
    assert any(re.search(said, risk) for risk in found), found


def test_every_rule_has_a_case() -> None:
    spoken = {rule.__name__ for rule in RULES for change in CASES.values() if rule(replace(SOUND, **change)) is not None}
    assert spoken == {rule.__name__ for rule in RULES}


def test_milestones_within_the_run_and_few_left_out_are_no_risk() -> None:
    within = replace(PLAN, schedule="step", milestones=(60, 80))
    assert list_risks(replace(SOUND, plan=within)) == []
    assert SOUND.left_out == 5994 - 93 * 64 and SOUND.steps_left == 9300 and SOUND.seconds_left == 4650


def test_without_timed_steps_nothing_is_said_of_time() -> None:
    assert list_risks(replace(SOUND, trial=None)) == [] and replace(SOUND, trial=None).seconds_left is None
