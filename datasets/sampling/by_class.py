"""Batches with several images of each class, as metric losses need them; a function of (seed, epoch, rank) alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from datasets.sampling.batches import Batches, Draw, random_for
from runtime.errors import DataError


class ClassBatches(Batches):
    """Batches of `per_class` images of a class, and so on, for one rank; `set` chooses the epoch and the first step.

    With `replace`, classes and then images are drawn uniformly with replacement, as the public code of OBD-SD does: a
    class may come twice in a batch, an image may be its own positive, and an epoch has as many steps as N holds
    batches. Without it, each epoch deals out every class's shuffled images once in groups, no class twice in a batch as
    long as enough classes are left; a rest of a class that fills no group is left out, a class smaller than a group
    repeats itself. The global batch (world x batch_size) does not depend on how many ranks share it.
    Raises DataError for images without labels, or a batch that classes cannot fill.
    """

    def __init__(
        self, labels: Sequence[int], batch_size: int, per_class: int = 2, *, seed: int = 0, rank: int = 0,
        world: int = 1, replace: bool = True,
    ) -> None:
        super().__init__(batch_size, seed=seed, rank=rank, world=world)
        self.per_class, self.replace = per_class, replace
        self.images = list_by_class(labels)
        if self.global_batch % per_class:
            raise DataError(f"a batch of {self.global_batch} images cannot be made of groups of {per_class}; take a "
                            f"multiple of {per_class}, as {self.global_batch // per_class * per_class or per_class}")
        places = len(labels) if replace else per_class * sum(self.count_groups())
        self.steps = places // self.global_batch
        if not self.steps:
            raise DataError(f"{len(labels)} training images make no batch of {self.global_batch} with {per_class} "
                            f"images of each class; lower the batch size to at most {places // world} per process")

    def __len__(self) -> int:
        """Steps per epoch."""
        return self.steps

    def __iter__(self) -> Iterator[list[Draw]]:
        """This rank's batches of the epoch that was set."""
        order = self.draw_epoch(self.epoch)
        draws = count_repeats(order.ravel().tolist(), self.epoch)
        for step in range(self.start_step, self.steps):
            first = step * self.global_batch + self.rank * self.batch_size
            yield draws[first : first + self.batch_size]

    def draw_epoch(self, epoch: int) -> np.ndarray:
        """All images of an epoch's global batches: int [steps, global batch]."""
        random = random_for("classes", self.seed, epoch)
        drawn = self.draw_with_replacement(random) if self.replace else self.deal(random)
        return drawn.reshape(self.steps, self.global_batch)

    def draw_with_replacement(self, random: np.random.RandomState) -> np.ndarray:
        """A class, then images of it, for every group of the epoch: int [groups, per_class]."""
        groups = self.steps * self.global_batch // self.per_class
        sizes = np.array([len(images) for images in self.images])
        first = np.concatenate([[0], sizes.cumsum()[:-1]])
        classes = random.randint(len(sizes), size=groups)
        places = (random.random_sample((groups, self.per_class)) * sizes[classes, None]).astype(np.int64)
        return np.concatenate(self.images)[first[classes, None] + places]

    def deal(self, random: np.random.RandomState) -> np.ndarray:
        """Every class's shuffled images in groups, spread over batches: int [steps * groups per batch, per_class]."""
        groups, owners = [], []
        for owner, (images, count) in enumerate(zip(self.images, self.count_groups(), strict=True)):
            shuffled = np.resize(random.permutation(images), count * self.per_class)
            groups.append(shuffled.reshape(count, self.per_class))
            owners += [owner] * count
        order = random.permutation(len(owners)).tolist()
        dealt = spread_classes(order, owners, self.global_batch // self.per_class, self.steps)
        return np.concatenate(groups)[dealt]

    def count_groups(self) -> list[int]:
        """Groups that each class fills, at least one."""
        return [max(len(images) // self.per_class, 1) for images in self.images]


def list_by_class(labels: Sequence[int]) -> list[np.ndarray]:
    """The places of each class that has any, in label order; raises DataError for images without labels."""
    values = np.asarray(labels)
    if len(values) and values.min() < 0:
        raise DataError(f"{int((values < 0).sum())} of {len(values)} training images have no label; metric learning "
                        "needs class folders, or a list with a label column")
    return [np.flatnonzero(values == label) for label in np.unique(values)] if len(values) else []


def spread_classes(order: list[int], owners: list[int], per_batch: int, batches: int) -> list[int]:
    """Groups in a new order in which no batch holds a class twice, as long as enough classes are left."""
    waiting, dealt = deque(order), []
    for _ in range(batches):
        chosen: list[int] = []
        passed: list[int] = []
        seen: set[int] = set()
        while waiting and len(chosen) < per_batch:
            group = waiting.popleft()
            (passed if owners[group] in seen else chosen).append(group)
            seen.add(owners[group])
        missing = per_batch - len(chosen)
        waiting.extendleft(reversed(passed[missing:]))
        dealt += chosen + passed[:missing]
    return dealt


def count_repeats(indices: list[int], epoch: int) -> list[Draw]:
    """Draws that know how often their image came before in the epoch."""
    times: dict[int, int] = {}
    draws = []
    for index in indices:
        draws.append(Draw(index, epoch, times.get(index, 0)))
        times[index] = times.get(index, 0) + 1
    return draws
