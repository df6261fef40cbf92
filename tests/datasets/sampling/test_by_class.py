"""Batches by class: how often images come, that ranks share one batch, and that a run can go on in the middle."""

from __future__ import annotations

from collections import Counter

import pytest

from datasets.sampling.by_class import ClassBatches, spread_classes
from runtime.errors import DataError

LABELS = [0] * 7 + [1] * 4 + [2] * 9 + [4] * 4  # no image of class 3


def epoch(batches: ClassBatches, number: int = 0, start: int = 0) -> list[list]:
    batches.set(number, start)
    return list(batches)


@pytest.mark.parametrize("replace", [True, False])
def test_two_ranks_share_the_batches_of_one_and_any_step_can_be_the_first(replace: bool) -> None:
    whole = epoch(ClassBatches(LABELS, 8, seed=3, replace=replace), 5)
    ranks = [epoch(ClassBatches(LABELS, 4, seed=3, rank=rank, world=2, replace=replace), 5) for rank in range(2)]
    assert whole == [first + second for first, second in zip(*ranks, strict=True)]
    assert epoch(ClassBatches(LABELS, 8, seed=3, replace=replace), 5, start=1) == whole[1:]
    assert epoch(ClassBatches(LABELS, 8, seed=3, replace=replace), 6) != whole
    assert epoch(ClassBatches(LABELS, 8, seed=4, replace=replace), 5) != whole


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("per_class", [1, 2, 3])
def test_groups_are_of_one_class_and_repeats_are_counted(replace: bool, per_class: int) -> None:
    batches = ClassBatches(LABELS, 6, per_class, replace=replace)
    draws = [draw for batch in epoch(batches) for draw in batch]
    assert len(draws) == 6 * len(batches)
    for first in range(0, len(draws), per_class):
        assert len({LABELS[draw.index] for draw in draws[first : first + per_class]}) == 1
    seen: Counter = Counter()
    for draw in draws:
        assert draw.repeat == seen[draw.index] and draw.epoch == 0
        seen[draw.index] += 1


def test_classes_are_drawn_uniformly_whatever_their_size() -> None:
    batches = ClassBatches(LABELS, 8)
    assert len(batches) == 24 // 8
    drawn = Counter(LABELS[draw.index] for number in range(300) for batch in epoch(batches, number) for draw in batch)
    assert drawn.keys() == {0, 1, 2, 4} and all(abs(count / (300 * 24) - 0.25) < 0.03 for count in drawn.values())
    images = Counter(draw.index for number in range(300) for batch in epoch(batches, number) for draw in batch)
    assert len(images) == len(LABELS)
    assert any(draw.repeat for batch in epoch(batches) for draw in batch)


def test_without_replacement_every_image_comes_at_most_once_and_classes_differ_within_a_batch() -> None:
    labels = [number // 5 for number in range(60)]  # 12 classes of 5: two pairs each, one image left out
    batches = ClassBatches(labels, 8, replace=False)
    assert len(batches) == 24 // 4
    left_out = set()
    for number in range(10):
        drawn = epoch(batches, number)
        images = [draw.index for batch in drawn for draw in batch]
        assert len(set(images)) == len(images) == 48
        left_out |= set(range(60)) - set(images)
        for batch in drawn[:4]:
            assert len({labels[draw.index] for draw in batch}) == 4
    assert len(left_out) > 30  # not the same images in every epoch


def test_a_class_smaller_than_a_group_repeats_itself() -> None:
    drawn = epoch(ClassBatches([0, 1, 1, 1, 2, 2, 2], 9, 3, replace=False))
    assert Counter(draw.index for draw in drawn[0]) == {0: 3, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1}
    assert sorted(draw.repeat for draw in drawn[0] if draw.index == 0) == [0, 1, 2]


def test_classes_repeat_within_a_batch_only_when_they_must() -> None:
    assert spread_classes([0, 1, 2, 3], [7, 7, 8, 8], 2, 2) == [0, 2, 1, 3]
    assert spread_classes([0, 1, 2], [7, 7, 7], 2, 1) == [0, 1]


def test_refusals_name_the_remedy() -> None:
    with pytest.raises(DataError, match="2 of 3 training images have no label"):
        ClassBatches([-1, 0, -1], 2)
    with pytest.raises(DataError, match="groups of 2; take a multiple of 2, as 4"):
        ClassBatches(LABELS, 5)
    with pytest.raises(DataError, match="24 training images make no batch of 32 .* at most 12 per process"):
        ClassBatches(LABELS, 16, world=2)
