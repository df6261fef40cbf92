"""Repeated augmentation: whole epochs, other orders, and repeats that are different views on different ranks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from datasets.images import scan
from datasets.sampling.batches import Draw, EpochBatches
from datasets.sampling.repeated import RepeatedBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from runtime.errors import DataError


def draws(batches: RepeatedBatches, epoch: int = 0, start: int = 0) -> list[Draw]:
    """All draws of one rank's epoch."""
    batches.set(epoch, start)
    return [draw for batch in batches for draw in batch]


@pytest.mark.parametrize(("n", "batch_size", "repeats"), [(50, 16, 3), (5994, 64, 3), (7, 7, 1), (5, 15, 3), (9, 4, 2)])
def test_one_process_sees_every_image_in_every_epoch(n: int, batch_size: int, repeats: int) -> None:
    """The public code kept 1963 of CUB's 5994 images, the same ones in every epoch."""
    batches = RepeatedBatches(n, batch_size, repeats=repeats)
    for epoch in (0, 1):
        times = Counter(draw.index for draw in draws(batches, epoch))
        assert set(times) == set(range(n)) and min(times.values()) >= repeats
        assert sum(times.values()) == len(batches) * batch_size < n * repeats + batch_size
    assert [draw.index for draw in draws(batches, 0)] != [draw.index for draw in draws(batches, 1)]


def test_no_view_comes_twice_in_an_epoch() -> None:
    found = draws(RepeatedBatches(10, 16), 4)
    assert len(set(found)) == len(found) == 32 and {draw.epoch for draw in found} == {4}


@pytest.mark.parametrize("world", [3, 4])
def test_repeats_go_to_different_ranks(world: int) -> None:
    ranks = [draws(RepeatedBatches(24, 6, rank=rank, world=world)) for rank in range(world)]
    owners: dict[int, list[int]] = {}
    for rank, found in enumerate(ranks):
        for draw in found:
            if draw.repeat < 3:
                owners.setdefault(draw.index, []).append(rank)
    assert len(owners) == 24 and all(len(set(seen)) == 3 for seen in owners.values())


def test_ranks_see_three_different_views_of_an_image(photo_tree: Path) -> None:
    images = scan(photo_tree)
    views = ViewSet(images, {"v": View("full", "timm", 24)}, seed=2)
    firsts = [draws(RepeatedBatches(len(images), 4, seed=2, rank=rank, world=3))[0] for rank in range(3)]
    assert len({draw.index for draw in firsts}) == 1
    seen = [views[draw].views["v"] for draw in firsts]
    assert not any(torch.equal(seen[one], seen[other]) for one, other in ((0, 1), (0, 2), (1, 2)))


def test_the_global_batch_does_not_depend_on_the_ranks() -> None:
    alone = RepeatedBatches(40, 12, seed=7)
    shared = [RepeatedBatches(40, 4, seed=7, rank=rank, world=3) for rank in range(3)]
    for whole, *parts in zip(alone, *shared, strict=True):
        assert set(whole) == {draw for part in parts for draw in part}


def test_resuming_continues_the_epoch() -> None:
    batches = RepeatedBatches(40, 8, seed=3)
    whole = draws(batches, 2)
    assert draws(batches, 2, start=5) == whole[5 * 8 :]


def test_one_repeat_is_an_ordinary_epoch() -> None:
    plain = EpochBatches(24, 8, seed=1)
    plain.set(3)
    assert draws(RepeatedBatches(24, 8, repeats=1, seed=1), 3) == [draw for batch in plain for draw in batch]


@pytest.mark.parametrize(("n", "repeats"), [(5, 3), (100, 0)])
def test_too_few_images_are_refused(n: int, repeats: int) -> None:
    with pytest.raises(DataError, match="batch size of at most"):
        RepeatedBatches(n, 16, repeats=repeats)
