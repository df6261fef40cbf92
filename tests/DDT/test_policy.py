"""Task policies: the table, its words, and crops at the borders of images."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.crops import Box
from DDT.localize import Frame
from DDT.policy import TASKS, Policy, apply_policy, find_task, parse_policy
from runtime.errors import DataError

FRAME = Frame(400, 300)


def size(box: Box) -> tuple[float, float]:
    return box.x2 - box.x1, box.y2 - box.y1


def test_tasks() -> None:
    assert size(apply_policy(find_task("car").policy, Box(150, 100, 250, 150), FRAME)) == pytest.approx((110, 65))
    plane = apply_policy(find_task("aircraft").policy, Box(180, 140, 220, 160), FRAME)
    assert size(plane) == pytest.approx((120, 80))
    assert size(apply_policy(find_task("bird").policy, Box(100, 100, 180, 130), FRAME)) == (80, 80)
    assert [find_task(name).crop_bottom for name in ("aircraft", "car", "bird")] == [20, 0, 0]


def test_centre_is_kept_away_from_borders() -> None:
    box = Box(150, 120, 250, 160)
    for policy in (Policy(), Policy("rect", 10, 30), Policy("none")):
        crop = apply_policy(policy, box, FRAME)
        assert ((crop.x1 + crop.x2) / 2, (crop.y1 + crop.y2) / 2) == pytest.approx((200, 140))
    assert apply_policy(Policy("none"), box, FRAME) == box


def test_square_shifts_at_a_border_and_shrinks_only_to_the_image() -> None:
    assert apply_policy(Policy(), Box(0, 100, 40, 200), FRAME) == Box(0, 100, 100, 200)
    assert apply_policy(Policy(), Box(300, 250, 400, 290), FRAME) == Box(300, 200, 400, 300)
    assert apply_policy(Policy(), Box(10, 100, 390, 200), FRAME) == Box(50, 0, 350, 300)


@pytest.mark.parametrize("policy", [Policy(), Policy("none"), *(task.policy for task in TASKS.values())], ids=str)
def test_always_inside(policy: Policy) -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        frame = Frame(*(int(side) for side in rng.integers(1, 300, 2)))
        x1, x2 = sorted(rng.uniform(0, frame.width, 2))
        y1, y2 = sorted(rng.uniform(0, frame.height, 2))
        crop = apply_policy(policy, Box(x1, y1, x2, y2), frame)
        assert -1e-9 <= crop.x1 <= crop.x2 <= frame.width + 1e-9
        assert -1e-9 <= crop.y1 <= crop.y2 <= frame.height + 1e-9
        if policy.shape == "square":
            assert size(crop)[0] == pytest.approx(size(crop)[1])
            assert size(crop)[0] == pytest.approx(min(max(x2 - x1, y2 - y1), frame.width, frame.height))


@pytest.mark.parametrize("word", ["square", "none", "rect:10,30", "rect:0,-5.5"])
def test_words_round_trip(word: str) -> None:
    assert str(parse_policy(word, "car")) == word


def test_auto_is_the_task() -> None:
    assert parse_policy("auto", "car") == Policy("rect", 10, 30)
    assert parse_policy("auto", "flowers") == Policy("square")
    assert parse_policy("rect:10%, 30%", "bird") == Policy("rect", 10, 30)


WRONG = ["circle", "rect", "rect:1", "rect:1,2,3", "rect:a,b", "rect:-100,5", "rect:nan,1", "rect:1,nan", ""]


@pytest.mark.parametrize("word", WRONG)
def test_bad_words(word: str) -> None:
    with pytest.raises(DataError, match="--policy"):
        parse_policy(word, "bird")
