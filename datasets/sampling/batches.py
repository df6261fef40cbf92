"""Samplers: which images make up which batch, as a function of (seed, epoch, step, rank) alone."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from runtime.errors import DataError


@dataclass(frozen=True)
class Draw:
    """One image asked for: its index, the epoch, and how often it came before in this epoch."""

    index: int
    epoch: int = 0
    repeat: int = 0


class Batches(ABC):
    """What the trainer asks of a sampler: its length in steps, and one rank's batches of an epoch, from any step on.

    The global batch of a step holds `batch_size` images for each of `world` ranks.
    """

    def __init__(self, batch_size: int, *, seed: int, rank: int, world: int) -> None:
        self.batch_size, self.seed, self.rank, self.world = batch_size, seed, rank, world
        self.epoch, self.start_step = 0, 0

    @property
    def global_batch(self) -> int:
        """Images per step over all ranks."""
        return self.batch_size * self.world

    def set(self, epoch: int, start_step: int = 0) -> None:
        """Choose the epoch and first step of the next iteration."""
        self.epoch, self.start_step = epoch, start_step

    @abstractmethod
    def __len__(self) -> int:
        """Steps per epoch."""

    @abstractmethod
    def __iter__(self) -> Iterator[list[Draw]]:
        """This rank's batches of the epoch that was set."""


def random_for(purpose: str, *numbers: int) -> np.random.RandomState:
    """A generator that depends on a purpose and numbers (a seed, an epoch) alone, on any machine and NumPy version."""
    digest = hashlib.blake2b("/".join(map(str, (purpose, *numbers))).encode(), digest_size=16).digest()
    # RandomState, not Generator: only its stream is promised never to change.
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4"))


def permute(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of n images that depends on (seed, epoch) alone."""
    return random_for("permutation", seed, epoch).permutation(n)


class EpochBatches(Batches):
    """Shuffled batches for one rank; the global batch does not depend on how many ranks share it.

    The global batch (world x batch_size images) is a slice of one permutation; rank r takes its r-th part. The rest
    that fills no global batch is left out, or shared out in a shorter last batch when `drop_last` is off.
    `set` chooses the epoch (and the step to resume at) of the next iteration. Raises DataError when n is too small.
    """

    def __init__(
        self, n: int, batch_size: int, *, seed: int = 0, rank: int = 0, world: int = 1, drop_last: bool = True
    ) -> None:
        super().__init__(batch_size, seed=seed, rank=rank, world=world)
        self.n, self.drop_last = n, drop_last
        if drop_last and n < self.global_batch:
            raise DataError(
                f"{n} training images are fewer than one global batch of {self.global_batch} "
                f"({world} x {batch_size}); use a batch size of at most {n // world} per process, or more images"
            )

    def __len__(self) -> int:
        """Steps per epoch."""
        return self.n // self.global_batch if self.drop_last else -(-self.n // self.global_batch)

    def __iter__(self) -> Iterator[list[Draw]]:
        """The batches of the epoch that was set."""
        return self.epoch_batches(self.epoch, self.start_step)

    def epoch_batches(self, epoch: int, start_step: int = 0) -> Iterator[list[Draw]]:
        """This rank's batches of one epoch, from `start_step` on."""
        order = permute(self.n, self.seed, epoch).tolist()
        for step in range(start_step, len(self)):
            whole = order[step * self.global_batch : (step + 1) * self.global_batch]
            share = -(-len(whole) // self.world)
            yield [Draw(index, epoch) for index in whole[self.rank * share : (self.rank + 1) * share]]


class SequentialBatches:
    """Every image once, in order, last batch kept; with `world` ranks each takes every world-th image."""

    def __init__(self, n: int, batch_size: int, *, rank: int = 0, world: int = 1) -> None:
        self.indices = range(rank, n, world)
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        """The batches."""
        for start in range(0, len(self.indices), self.batch_size):
            yield [Draw(index) for index in self.indices[start : start + self.batch_size]]
