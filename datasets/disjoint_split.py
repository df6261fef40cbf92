"""Metric learning's splits: some classes are trained on, others are searched; labels may be held out or made noisy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from datasets.images import ImageSet
from datasets.layouts.collections import Collection
from datasets.layouts.listing import Sample
from datasets.sampling.batches import random_for
from runtime.errors import DataError

Choice = Literal["even", "random", "first"]
# Which images of a class stay in training when it is split by sample, as the public code does it.
USUAL_CHOICES: dict[str | None, Choice] = {"cub200": "even", "cars196": "random", "online_products": "first"}


@dataclass(frozen=True)
class DisjointSplit:
    """Images of classes to learn from, labels 0..C-1, and of other classes to search, labels from C on.

    `val` is None unless `hold_out_validation` made it.
    """

    train: ImageSet
    test: ImageSet
    val: ImageSet | None = None

    @property
    def train_classes(self) -> int:
        """How many classes a loss with a row for each needs."""
        return int(self.train.labels.max()) + 1


def split_classes(collection: Collection, partition: int | None = None) -> DisjointSplit:
    """The first half of the classes to train, the rest to test (the larger half trains), or the data set's own split.

    `partition` draws another order of the classes from that seed. Raises DataError for fewer than two classes.
    """
    classes, count = collection.classes, collection.train_classes
    if len(classes) < 2:
        raise DataError(f"{collection.root}: {len(classes)} class cannot be split into classes to train and to test")
    count = (len(classes) + 1) // 2 if count is None else count
    order = list(range(len(classes))) if partition is None else random_for("partition", partition).permutation(
        len(classes)).tolist()
    number = {old: new for new, old in enumerate(order)}
    samples = [replace(sample, label=number[sample.known_label]) for sample in collection.samples]
    names = tuple(classes[old] for old in order)
    train, test = ([s for s in samples if (s.known_label < count) == first] for first in (True, False))
    return DisjointSplit(ImageSet(collection.root, "train", tuple(train), names),
                         ImageSet(collection.root, "test", tuple(test), names))


def hold_out_validation(
    split: DisjointSplit, share: float = 0.8, *, by: Literal["class", "sample"] = "class", choice: Choice = "even",
    seed: int = 0,
) -> DisjointSplit:
    """The first `share` of the training classes, or a share of each class's images, stays; the rest becomes `val`.

    By sample, `choice` is which images stay: evenly spaced, random ones, or the first. Raises DataError when a part
    would be empty.
    """
    train = split.train
    if by == "class":
        kept = int(share * split.train_classes)
        stays = [sample.known_label < kept for sample in train.samples]
    else:
        places = choose_per_class([sample.known_label for sample in train.samples], share, choice, seed)
        stays = [place in places for place in range(len(train))]
    if all(stays) or not any(stays):
        raise DataError(f"{train.root}: {share} of {split.train_classes} training classes leaves nothing to "
                        "train or to validate; choose another share, or split by sample")
    parts = [tuple(s for s, stay in zip(train.samples, stays, strict=True) if stay == first) for first in (True, False)]
    return replace(split, train=replace(train, samples=parts[0]), val=replace(train, split="val", samples=parts[1]))


def choose_per_class(labels: Sequence[int], share: float, choice: Choice, seed: int) -> set[int]:
    """The places that stay: of each class of n the share rounded down, at least one."""
    places: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    random, stays = random_for("hold out", seed), set()
    for label in sorted(places):
        own = places[label]
        count = max(int(share * len(own)), 1)
        if choice == "random":
            chosen = random.permutation(len(own))[:count].tolist()
        else:
            chosen = range(count) if choice == "first" else np.linspace(0, len(own) - 1, count).astype(int).tolist()
        stays |= {own[i] for i in chosen}
    return stays


def flip_labels(images: ImageSet, ratio: float, seed: int = 0) -> ImageSet:
    """Every label is replaced with probability `ratio` by another of the training classes, all equally likely.

    The noise depends on the seed and the order of the images alone. Raises DataError for a ratio outside of [0, 1].
    """
    if not 0 <= ratio <= 1:
        raise DataError(f"a share of noisy labels of {ratio} is not within 0..1")
    classes = int(images.labels.max()) + 1
    if classes < 2:
        raise DataError(f"{images.root}: one class alone cannot have noisy labels")
    random = random_for("noise", seed)
    flipped = random.random_sample(len(images)) < ratio
    steps = random.randint(1, classes, size=len(images))
    samples: list[Sample] = [replace(sample, label=int((sample.label + step) % classes)) if flip else sample
                             for sample, flip, step in zip(images.samples, flipped, steps, strict=True)]
    return replace(images, samples=tuple(samples))
