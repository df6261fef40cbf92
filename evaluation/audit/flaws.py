"""All that is wrong with a folder of photographs, as one list: the gravest kind first, and the surest of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.images import ImageSet
from evaluation.audit.copies import Copies, join_groups
from evaluation.audit.label_errors import LabelDoubts
from evaluation.audit.pictures import FileFacts
from evaluation.sorting.cloud import ODD

# Kinds in the order in which they are told, and what one and several are called.
KINDS = {"leak": ("picture in several splits", "pictures in several splits"),
         "conflict": ("picture under different labels", "pictures under different labels"),
         "label": ("doubtful label", "doubtful labels"), "broken": ("broken file", "broken files"),
         "duplicate": ("picture there more than once", "pictures there more than once"),
         "odd file": ("odd file", "odd files"),
         "odd picture": ("picture unlike all others", "pictures unlike all others")}
COPIES = ("leak", "conflict", "duplicate")  # kinds of which a flaw is one file of several


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with one image.

    `group` numbers copies of one picture (-1 = none), `other` is the image that this one is a copy of; `suggested` is
    the label that the others speak for. `score`: correlation of copies, doubt of labels, oddness in robust deviations.
    """

    kind: str
    index: int
    detail: str
    group: int = -1
    other: int = -1
    suggested: str = ""
    score: float | None = None


@dataclass(frozen=True)
class PhotoAudit:
    """A finished audit of N images, in their order: their splits, all flaws, and files that no reader here can open.

    `agreement` is the share of judged labels that the other pictures speak for, None where none was judged: how far
    doubts can be trusted.
    """

    images: ImageSet
    splits: tuple[str, ...]
    flaws: tuple[Flaw, ...]
    unread: tuple[tuple[str, str], ...] = ()
    agreement: float | None = None

    def of_kind(self, kind: str) -> list[Flaw]:
        """The flaws of one kind, the surest first."""
        return [flaw for flaw in self.flaws if flaw.kind == kind]

    def groups(self, kind: str) -> list[list[Flaw]]:
        """Those of one kind by the picture that they are copies of."""
        found: dict[int, list[Flaw]] = {}
        for flaw in self.of_kind(kind):
            found.setdefault(flaw.group, []).append(flaw)
        return list(found.values())

    def label(self, index: int) -> str:
        """An image's label, "" for none."""
        label = self.images.samples[index].label
        return "" if label is None else self.images.classes[label]

    def copy_groups(self) -> Tensor:
        """For each image the number of the picture that it is a copy of, int64 [N], -1 = alone."""
        groups = torch.full((len(self.images),), -1)
        for flaw in self.flaws:
            if flaw.group >= 0:
                groups[flaw.index] = flaw.group
        return groups


@dataclass(frozen=True)
class Twins:
    """Two images that show the same: their indices, how sure that is, and how one differs from the other."""

    first: int
    second: int
    likeness: float
    how: str


def list_twins(facts: Sequence[FileFacts], copies: Copies | None) -> list[Twins]:
    """Pairs of equal files, of equal pictures in other files, and of copies; `copies` index the same files.

    None where none were looked for.
    """
    found: dict[tuple[int, int], Twins] = {}
    for of, how in (("content", "the same file"), ("pixels", "the same pixels in another file")):
        met: dict[str, int] = {}
        for index, one in enumerate(facts):
            if one.fault is None and (first := met.setdefault(getattr(one, of), index)) != index:
                linked = one.place == facts[first].place
                found.setdefault((first, index),
                                 Twins(first, index, 1.0, "one file under two names" if linked else how))
    if copies is not None:
        for (first, second), likeness, mirrored, cut in zip(copies.pairs.tolist(), copies.likeness.tolist(),
                                                            copies.mirrored.tolist(), copies.cut.tolist()):
            words = " and ".join(["mirrored"] * mirrored + ["cut"] * cut) or "saved anew"
            found.setdefault((first, second), Twins(first, second, likeness, words))
    return list(found.values())


def group_twins(count: int, twins: Sequence[Twins]) -> Tensor:
    """A group number for each of `count` images, -1 = alone."""
    return join_groups(count, torch.tensor([(one.first, one.second) for one in twins], dtype=torch.long).reshape(-1, 2))


def list_copy_flaws(
    images: ImageSet, splits: Sequence[str], twins: Sequence[Twins], groups: Tensor
) -> Iterator[Flaw]:
    """Leaks between splits and equal pictures under different labels, which a group may both be; else duplicates."""
    best: dict[int, Twins] = {}
    for one in sorted(twins, key=lambda one: -one.likeness):
        best.setdefault(one.first, one)
        best.setdefault(one.second, one)
    members_of: dict[int, list[int]] = {}
    for index in (groups >= 0).nonzero().flatten().tolist():
        members_of.setdefault(int(groups[index]), []).append(index)
    surest = sorted(members_of.items(), key=lambda item: -max(best[index].likeness for index in item[1]))
    for group, members in surest:
        labels = {images.samples[index].label for index in members} - {None}
        split = len({splits[index] for index in members}) > 1
        kinds = [kind for kind, holds in (("leak", split), ("conflict", len(labels) > 1)) if holds]
        for kind in kinds or ["duplicate"]:
            for index in members:
                twin = best[index]
                other = twin.first + twin.second - index
                yield Flaw(kind, index, twin.how, group, other, score=twin.likeness)


def list_label_flaws(images: ImageSet, doubts: LabelDoubts, near: Tensor) -> Iterator[Flaw]:
    """Labels that are flagged, the most doubtful first; `near` int64 [N, k] are each image's nearest others."""
    order = doubts.doubt.argsort(descending=True, stable=True)
    for index in order[doubts.flagged[order]].tolist():
        suggested = int(doubts.suggested[index])
        agree = int((images.labels[near[index]] == suggested).sum())
        yield Flaw("label", index, f"probability {float(doubts.confidence[index]):.2f}; {agree} of the {near.shape[1]} "
                   "nearest have that label", suggested=images.classes[suggested], score=float(doubts.doubt[index]))


def list_odd_pictures(oddness: Tensor) -> Iterator[Flaw]:
    """Pictures whose nearest others are far, the farthest first; oddness [N] as `rate_oddness` has it."""
    for index in oddness.argsort(descending=True, stable=True).tolist():
        if float(oddness[index]) > ODD:
            yield Flaw("odd picture", index, "its nearest others are far", score=float(oddness[index]))


def sort_flaws(flaws: Sequence[Flaw]) -> tuple[Flaw, ...]:
    """Kind by kind; within a kind the order stays."""
    place = {kind: number for number, kind in enumerate(KINDS)}
    return tuple(sorted(flaws, key=lambda flaw: place[flaw.kind]))
