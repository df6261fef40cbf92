"""Batches: the same for any number of workers, over epochs and after resuming; errors name the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from datasets.images import ImageSet, scan
from datasets.loader import Batch, Loader, make_loader, per_view_seed
from datasets.sampling.batches import Draw, EpochBatches, SequentialBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from runtime.errors import DataError

VIEWS = {"v1": View("full", "mocov2", 16), "v2": View("full", "mocov2", 16)}


@pytest.fixture
def images(photo_tree: Path) -> ImageSet:
    """24 training photos."""
    return scan(photo_tree)


def assert_same(left: list[Batch], right: list[Batch]) -> None:
    """The same batches in the same order."""
    assert len(left) == len(right) > 0
    for one, other in zip(left, right):
        assert torch.equal(one.index, other.index) and torch.equal(one.label, other.label)
        assert all(torch.equal(one.views[name], other.views[name]) for name in VIEWS)


def complain(loader: Loader) -> str:
    """The message of a loader's DataError; the error itself is let go, since its traceback would keep workers alive."""
    try:
        list(loader)
    except DataError as error:
        return str(error)
    pytest.fail("no DataError")


def test_batch_shapes(images: ImageSet) -> None:
    batches = list(make_loader(ViewSet(images, VIEWS), SequentialBatches(len(images), 10)))
    assert [len(batch) for batch in batches] == [10, 10, 4]
    first = batches[0]
    assert first.views["v2"].shape == (10, 3, 16, 16) and first.views["v2"].dtype == torch.uint8
    assert first.index.tolist() == list(range(10)) and first.label.tolist() == [0] * 8 + [1] * 2
    assert first.index.dtype == first.label.dtype == torch.int64


def test_batch_moves(images: ImageSet) -> None:
    batch = next(iter(make_loader(ViewSet(images, VIEWS), SequentialBatches(4, 4)))).to("meta")
    assert {tensor.device.type for tensor in (batch.index, batch.label, *batch.views.values())} == {"meta"}


def test_workers_and_epochs_and_resuming_change_nothing(images: ImageSet) -> None:
    data, batches = ViewSet(images, VIEWS, seed=3), EpochBatches(len(images), 6, seed=3)
    alone, helped = make_loader(data, batches), make_loader(data, batches, workers=2)
    next(iter(helped))  # an epoch that is given up half-way must not leak into the next
    for epoch, start in ((0, 0), (1, 0), (1, 2)):
        batches.set(epoch, start)
        assert_same(list(alone), list(helped))
    batches.set(1, 0)
    assert_same(list(helped)[2:], list(make_loader(data, EpochBatches(len(images), 6, seed=3).epoch_batches(1, 2))))
    assert len(helped) == 4


def test_iterating_leaves_the_global_generator_alone(images: ImageSet) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(make_loader(ViewSet(images, VIEWS), SequentialBatches(4, 2)))
    assert torch.equal(torch.rand(3), expected)


def test_any_iterable_of_draws_will_do(images: ImageSet) -> None:
    draws = [[Draw(0), Draw(0, repeat=1)], [Draw(5)]]
    first, second = make_loader(ViewSet(images, VIEWS), draws)
    assert first.index.tolist() == [0, 0] and second.index.tolist() == [5]
    assert not torch.equal(first.views["v1"][0], first.views["v1"][1])


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_files_are_named_plainly(images: ImageSet, workers: int) -> None:
    for number in (1, 2):
        images.samples[number].path.write_bytes(b"broken")
    loader = make_loader(ViewSet(images, VIEWS), SequentialBatches(8, 4), workers=workers)
    lines = complain(loader).splitlines()
    assert [Path(line.split(":")[0]) for line in lines] == [images.samples[number].path for number in (1, 2)]


def test_a_bug_keeps_its_traceback(images: ImageSet) -> None:
    with pytest.raises(IndexError):
        list(make_loader(ViewSet(images, VIEWS), [[Draw(99)]]))


def test_seeds_are_fixed_for_good_and_distinct() -> None:
    assert per_view_seed(0, 1, 2, 0, "v1") == 16443215124434637049
    seeds = {
        per_view_seed(seed, epoch, index, repeat, view)
        for seed in range(3)
        for epoch in range(4)
        for index in range(30)
        for repeat in range(2)
        for view in ("v1", "v2")
    }
    assert len(seeds) == 3 * 4 * 30 * 2 * 2 and max(seeds) > 2**63
