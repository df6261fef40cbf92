"""From draws to batches: collation, workers, and the seed of every view."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datasets.sampling.batches import Draw
from runtime import distributed
from runtime.errors import DataError
from runtime.processes.ending import outlive_signals

STALLED = 900  # seconds without a batch after which workers count as hung


@dataclass(frozen=True)
class Item:
    """One image's views by name, uint8 [3, H, W] each, with its index and label (-1 for none)."""

    views: dict[str, Tensor]
    index: int
    label: int


@dataclass
class Batch:
    """What a method sees: views by name, uint8 [B, 3, H, W]; index and label LongTensor [B], label -1 for none."""

    views: dict[str, Tensor]
    index: Tensor
    label: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.index)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; PyTorch's loader calls this by name."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor changed."""
        views = {name: change(view) for name, view in self.views.items()}
        return Batch(views, change(self.index), change(self.label))


def per_view_seed(seed: int, epoch: int, index: int, repeat: int, view_name: str) -> int:
    """A 64-bit seed for one view of one image, the same in every process and version of Python."""
    text = f"{seed}/{epoch}/{index}/{repeat}/{view_name}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def collate(items: list[Item]) -> Batch:
    """Stack items; views must have the same size in all of them."""
    views = {name: torch.stack([item.views[name] for item in items]) for name in items[0].views}
    return Batch(views, torch.tensor([item.index for item in items]), torch.tensor([item.label for item in items]))


@dataclass(frozen=True)
class _Failure:
    """A DataError's message on its way to the main process: raised in a worker, it would arrive inside a traceback."""

    message: str


class _Guarded(Dataset):
    """A data set that hands a DataError over as a value."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, draw: Draw) -> Item | _Failure:
        try:
            return self.dataset[draw]
        except DataError as error:
            return _Failure(str(error))


def _collate_guarded(items: list[Item | _Failure]) -> Batch | _Failure:
    """A batch, or one failure that names every file of it that cannot be used."""
    messages = dict.fromkeys(item.message for item in items if isinstance(item, _Failure))
    if messages:
        return _Failure("\n".join(messages))
    return collate([item for item in items if not isinstance(item, _Failure)])


class CountedBatches(Protocol):
    """Lists of draws, one a batch, that can be counted and asked for anew; `datasets.sampling` has some."""

    def __len__(self) -> int:
        """Number of batches of a whole iteration."""

    def __iter__(self) -> Iterator[list[Draw]]:
        """The draws of each batch."""


class Loader:
    """Batches of a data set, over and over: every iteration asks `batches` anew and keeps the workers alive."""

    def __init__(self, dataset: Dataset, batches: CountedBatches, workers: int, pin: bool) -> None:
        self.batches = batches
        self._loader = DataLoader(
            _Guarded(dataset),
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=_collate_guarded,
            pin_memory=pin,
            persistent_workers=workers > 0,
            timeout=STALLED if workers else 0,
            worker_init_fn=outlive_signals,
            generator=torch.Generator(),  # its own, so that iterating draws nothing from the global one
        )

    def __len__(self) -> int:
        """Number of batches of a whole iteration."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        """The batches; raises DataError naming the files of a batch that cannot be read."""
        batches = iter(self._loader)
        while (batch := self._next(batches)) is not None:
            if isinstance(batch, _Failure):
                raise DataError(batch.message)
            yield batch

    def _next(self, batches: Iterator[Batch | _Failure]) -> Batch | _Failure | None:
        """The next batch, None at the end; raises DataError when the workers hang, as they do without shared memory."""
        try:
            return next(batches, None)
        except RuntimeError as error:
            if "timed out" not in str(error):
                raise
            raise DataError(f"the loader's workers sent nothing for {STALLED} s. If shared memory is short (a "
                            "container's /dev/shm), use --num-workers 0 or enlarge it; or the disk hangs") from error


def make_loader(dataset: Dataset, batches: CountedBatches, *, workers: int = 0, pin: bool = False) -> Loader:
    """A loader whose batches are the same for any number of workers.

    `batches` is any re-iterable of lists of draws; an `EpochBatches` chooses its epoch by `set` before each iteration.
    """
    return Loader(dataset, batches, workers, pin)


def count_workers(wanted: int | str) -> int:
    """Loader processes per rank: what was asked for, or one per core and rank, at most 8."""
    if wanted != "auto":
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // distributed.world()))
