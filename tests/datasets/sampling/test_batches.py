"""Samplers: every image once, the same global batches for any number of ranks, resumable anywhere."""

from __future__ import annotations

import pytest

from datasets.sampling.batches import Draw, EpochBatches, SequentialBatches, permute
from runtime.errors import DataError


def indices(batches: EpochBatches, epoch: int, start: int = 0) -> list[list[int]]:
    """Indices of one epoch's batches."""
    return [[draw.index for draw in batch] for batch in batches.epoch_batches(epoch, start)]


def test_an_epoch_shows_images_at_most_once_and_drops_the_rest() -> None:
    epoch = indices(EpochBatches(23, 5, seed=1), 0)
    flat = [index for batch in epoch for index in batch]
    assert [len(batch) for batch in epoch] == [5] * 4 and len(set(flat)) == 20 and set(flat) <= set(range(23))


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_share_the_global_batch_of_one_process(world: int) -> None:
    alone = indices(EpochBatches(50, 12, seed=7), 3)
    ranks = [indices(EpochBatches(50, 12 // world, seed=7, rank=rank, world=world), 3) for rank in range(world)]
    assert [sum(parts, []) for parts in zip(*ranks)] == alone


def test_epochs_and_seeds_differ_and_repeat() -> None:
    batches = EpochBatches(40, 8, seed=1)
    assert indices(batches, 0) == indices(EpochBatches(40, 8, seed=1), 0)
    assert indices(batches, 0) != indices(batches, 1) != indices(EpochBatches(40, 8, seed=2), 1)


def test_the_permutation_is_fixed_for_good() -> None:
    assert permute(10, 123, 4).tolist() == [4, 8, 1, 2, 5, 3, 0, 7, 9, 6]


def test_resume_continues_where_it_stopped() -> None:
    batches = EpochBatches(40, 8, seed=1)
    assert indices(batches, 5, 2) == indices(batches, 5)[2:] and indices(batches, 5, 5) == []


def test_iteration_follows_set() -> None:
    batches = EpochBatches(40, 8, seed=1)
    batches.set(4, start_step=3)
    drawn = list(batches)
    assert len(batches) == 5 and len(drawn) == 2
    assert drawn == list(batches.epoch_batches(4, 3)) and drawn[0][0].epoch == 4 and drawn[0][0].repeat == 0


def test_too_few_images_names_both_numbers_and_the_remedy() -> None:
    with pytest.raises(DataError, match=r"7 training images.*8 \(2 x 4\).*at most 3"):
        EpochBatches(7, 4, world=2)
    assert len(EpochBatches(8, 4, world=2)) == 1


@pytest.mark.parametrize("world", [1, 2])
def test_a_last_batch_may_be_kept(world: int) -> None:
    ranks = [EpochBatches(11, 4 // world, rank=rank, world=world, drop_last=False) for rank in range(world)]
    flat = sorted(index for rank in ranks for batch in indices(rank, 0) for index in batch)
    assert flat == list(range(11)) and len(ranks[0]) == 3


@pytest.mark.parametrize(("n", "size", "world"), [(10, 3, 1), (10, 3, 2), (2, 8, 3), (9, 3, 3)])
def test_sequential_batches_cover_everything_once(n: int, size: int, world: int) -> None:
    ranks = [SequentialBatches(n, size, rank=rank, world=world) for rank in range(world)]
    assert sorted(draw.index for rank in ranks for batch in rank for draw in batch) == list(range(n))
    assert all(len(list(rank)) == len(rank) and all(len(batch) <= size for batch in rank) for rank in ranks)


def test_sequential_batches_are_in_order() -> None:
    assert list(SequentialBatches(5, 2)) == [[Draw(0), Draw(1)], [Draw(2), Draw(3)], [Draw(4)]]
