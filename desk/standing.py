"""Where a sorting stands after some answers: a name and a confidence for every picture, and which to name next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from desk.album import Album
from desk.journal import Answer
from evaluation.audit.label_errors import rate_disagreement
from evaluation.sorting.choice import NamingOrder, expected_gain
from evaluation.sorting.cloud import Cloud
from evaluation.sorting.spread import Spread, spread_labels

NOTHING, NAMED, UNKNOWN, UNUSABLE = range(4)  # what a person said of a picture
STATES = {"name": NAMED, "unknown": UNKNOWN, "unusable": UNUSABLE}
PROPOSED = 40  # pictures to name next, of which a page shows some
SOON = 10  # names whose gain is told
SURE = 0.9
DISAGREES = 0.5  # of a picture's neighbours, by likeness, call it by other names


@dataclass(frozen=True)
class Standing:
    """What follows from the answers up to line `version` of the journal, for N pictures.

    labels int64 [N]: places in `names`, -1 = none. confidence, unlike, disagreement: float32 [N], see
    `evaluation.sorting.spread.Spread` and `rate_disagreement`. states uint8 [N]: what a person said. proposal: pictures
    to name next, best first. gain: the share of all pictures that naming the first SOON of them should set right.
    changed: pictures whose name is another than in the standing before.
    """

    version: int
    names: tuple[str, ...]
    labels: Tensor
    confidence: Tensor
    unlike: Tensor
    disagreement: Tensor
    states: NDArray[np.uint8]
    proposal: tuple[int, ...]
    gain: float
    changed: tuple[int, ...]

    def name(self, index: int) -> str:
        """A picture's name, "" for none."""
        label = int(self.labels[index])
        return self.names[label] if label >= 0 else ""

    def count_sure(self) -> int:
        """Pictures whose name is given, or right with a probability of SURE."""
        return int((((self.confidence >= SURE) & (self.labels >= 0)) | torch.from_numpy(self.states > NAMED)).sum())


class Sorter:
    """Draws the conclusions for the pictures of an album, seen as a cloud of points."""

    def __init__(self, album: Album, cloud: Cloud) -> None:
        self.album, self.cloud = album, cloud
        self.order = NamingOrder(cloud)

    def conclude(self, answers: Mapping[str, Answer], version: int, before: Standing | None) -> Standing:
        """Where the sorting stands after these answers, by content; `before` is what it is compared with."""
        states = np.zeros(len(self.album), dtype=np.uint8)
        given: dict[int, str] = {}
        for content, answer in answers.items():
            for index in self.album.places.get(content, ()):
                states[index] = STATES[answer.do]
                if answer.do == "name":
                    given[index] = answer.name
        names = tuple(sorted(set(given.values())))
        labels = torch.full((len(states),), -1)
        for index, name in given.items():
            labels[index] = names.index(name)
        spread = self._spread(labels, states)
        answered = np.flatnonzero((states == NAMED) | (states == UNKNOWN)).tolist()
        unusable = np.flatnonzero(states == UNUSABLE).tolist()
        proposal = self.order.next(PROPOSED, answered, unusable, spread)
        gain = expected_gain(self.cloud, settle(spread, states), proposal[:SOON]) if spread else 0.0
        found = spread or Spread(labels, torch.zeros(len(states)), torch.zeros(len(states)))
        disagreement = rate_disagreement(self.cloud.near, self.cloud.cosine, found.labels)
        return Standing(version, names, found.labels, found.confidence, found.unlike, disagreement, states,
                        tuple(proposal), gain, find_changes(before, names, found.labels))

    def _spread(self, labels: Tensor, states: NDArray[np.uint8]) -> Spread | None:
        """Names for all pictures but the unusable ones, None while none is given."""
        if bool((labels < 0).all()):
            return None
        spread = spread_labels(self.cloud, labels, np.flatnonzero(states == UNKNOWN).tolist())
        nothing = torch.from_numpy(states > NAMED)
        return Spread(spread.labels.masked_fill(nothing, -1), spread.confidence.masked_fill(nothing, 0), spread.unlike)


def settle(spread: Spread, states: NDArray[np.uint8]) -> Spread:
    """A spread in which nothing is left to gain of pictures that a person has judged."""
    return replace(spread, confidence=spread.confidence.masked_fill(torch.from_numpy(states != NOTHING), 1))


def find_changes(before: Standing | None, names: tuple[str, ...], labels: Tensor) -> tuple[int, ...]:
    """The pictures whose name is another than before; all that have one where there is no standing before."""
    old = torch.full_like(labels, -1)
    if before is not None:
        places = {name: place for place, name in enumerate(names)}
        moved = torch.tensor([*(places.get(name, -2) for name in before.names), -1])
        old = moved[before.labels]  # -1, none, is the last
    return tuple((labels != old).nonzero().flatten().tolist())
