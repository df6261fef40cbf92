"""What the epochs of a run say of each image: how its entropies moved, and where a sure teacher was not followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.image_log import ImageHistory

Table = NDArray[np.float32]  # [E, N], NaN where an image did not come in an epoch
Column = NDArray[np.float32]  # [N], NaN where nothing is known

POINTS = 60  # of a curve on the page
SURE = 0.75  # weight of distillation from which a teacher counts as sure: an entropy of at most 0.5
FOLLOWED = 0.5  # share of epochs below which the student counts as disagreeing


@dataclass(frozen=True)
class Trajectories:
    """What is told of N images; means are of the last third of the epochs.

    `sure_disagreement` is the mean of (1 - entropy)(1 - agreement). `fall` and `student_fall` are by how much the
    entropies of teacher and student fell from the first third of the epochs to the last. `disagrees` bool [N]: the
    teacher was sure and the student did not follow.
    """

    sure_disagreement: Column
    fall: Column
    student_fall: Column
    entropy: Column
    agreement: Column
    contrast: Column
    distill: Column
    disagrees: NDArray[np.bool_]


def follow_images(history: ImageHistory) -> Trajectories:
    """The trajectories of a run's log."""
    told = history.columns
    late = {name: average_epochs(last_third(table)) for name, table in told.items()}
    return Trajectories(
        sure_disagreement=average_epochs(last_third((1 - told["entropy"]) * (1 - told["agreement"]))),
        fall=measure_fall(told["entropy"]), student_fall=measure_fall(told["student_entropy"]),
        entropy=late["entropy"], agreement=late["agreement"], contrast=late["contrast"], distill=late["distill"],
        disagrees=(late["distill"] >= SURE) & (late["agreement"] < FOLLOWED))


def first_third(table: Table) -> Table:
    """The first third of the epochs, one at least."""
    return table[: max(len(table) // 3, 1)]


def last_third(table: Table) -> Table:
    """The last third of the epochs, one at least."""
    return table[-max(len(table) // 3, 1):]


def average_epochs(table: Table) -> Column:
    """The mean over the epochs in which an image came; NaN where it came in none."""
    known = ~np.isnan(table)
    count = known.sum(axis=0)
    total = np.where(known, table, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def measure_fall(table: Table) -> Column:
    """The mean of the first third of the epochs less that of the last; 0 in a run of one epoch."""
    return average_epochs(first_third(table)) - average_epochs(last_third(table))


def thin_epochs(table: Table, points: int = POINTS) -> Table:
    """At most `points` rows: means of epochs that follow one another."""
    if len(table) <= points:
        return table
    return np.stack([average_epochs(part) for part in np.array_split(table, points)])


def find_favourites(ids: Table, count: int = 3) -> list[list[tuple[int, float]]]:
    """For each image the ids [E, N] that it had most often over the epochs, with their shares, the commonest first."""
    favourites = []
    for column in ids.T:
        names, times = np.unique(column[~np.isnan(column)].astype(np.int64), return_counts=True)
        order = np.argsort(-times, kind="stable")[:count]
        favourites.append([(int(names[place]), float(times[place] / times.sum())) for place in order])
    return favourites


def list_examples(favourites: list[list[tuple[int, float]]], entropy: Column, count: int = 6) -> dict[int, list[int]]:
    """For each prototype the images that have it for their commonest, those of the surest teacher first."""
    members: dict[int, list[int]] = {}
    for image in np.argsort(entropy, kind="stable").tolist():  # NaN is last
        if favourites[image]:
            members.setdefault(favourites[image][0][0], []).append(image)
    return {prototype: images[:count] for prototype, images in members.items()}
