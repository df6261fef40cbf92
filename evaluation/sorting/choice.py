"""Which pictures to name next, and what naming them is worth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evaluation.metrics.similarity import MOST_HELD
from evaluation.sorting.cloud import Cloud
from evaluation.sorting.spread import Spread

BLOCK = 2**24  # numbers of a block of likenesses: 64 MB
ANEW = 32  # gains that are computed anew at a time


class NamingOrder:
    """Which pictures of a cloud to name next, as often as asked; what all pictures are like is computed once.

    It keeps the likeness of all N pictures with the candidates: at most 8,192 x 8,192 numbers (256 MB). Beyond 8,192
    pictures only every n-th is a candidate; all count.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.points = cloud.reduced
        self.candidates = _space_candidates(len(self.points))
        self.likeness = measure_likeness(self.points[self.candidates], self.points)

    def next(
        self, count: int, named: Sequence[int], skip: Sequence[int] = (), spread: Spread | None = None
    ) -> list[int]:
        """The next `count` pictures to name, best first: none of `named`, none of `skip`, whose likes can wait, too.

        Greedy facility location as in `choose_to_name`; with a `spread`, what is known well counts less.
        """
        covered = _cover(self.points, [*named, *skip])
        weights = torch.ones(len(self.points)) if spread is None else 1 - spread.confidence
        return _choose(self.candidates, self.likeness, covered, weights, count, [*named, *skip])


def choose_to_name(embeddings: Tensor, count: int, named: Sequence[int] = ()) -> list[int]:
    """The pictures that stand for most others, best first, given that `named` are known: indices of embeddings [N, d].

    Greedy facility location: each choice adds most to the sum over all pictures of the squared cosine with the closest
    chosen one. Beyond 8,192 images only every n-th is a candidate; all count.
    """
    candidates = _space_candidates(len(embeddings))
    likeness = measure_likeness(embeddings[candidates], embeddings)
    return _choose(candidates, likeness, _cover(embeddings, named), torch.ones(len(embeddings)), count, named)


def measure_likeness(some: Tensor, embeddings: Tensor) -> Tensor:
    """Squared cosines of unit embeddings [M, d] with [N, d], 0 where they point apart: [M, N]."""
    return (some @ embeddings.T).clamp_min_(0).square_()


def expected_gain(cloud: Cloud, spread: Spread | None, proposal: Sequence[int]) -> float:
    """The expected rise, as a share of all pictures (0 to 1), of the rightly named ones when `proposal` gets named.

    A picture is right afterwards with the probability s^4 at least, s its cosine with the nearest proposed one; before
    with 1 - (1 - confidence)^2, for the confidence is a cautious one. Both powers were chosen by simulated naming; what
    is left to gain late is overestimated (docs/sort.md).
    """
    after = _cover(cloud.smooth, proposal).square()
    before = torch.zeros(len(after)) if spread is None else 1 - (1 - spread.confidence).square()
    return float((after - before).clamp_min(0).mean())


def _space_candidates(count: int) -> Tensor:
    """Evenly spaced pictures, so few that their likeness with all can be held."""
    return torch.arange(0, count, -(-count // max(MOST_HELD * MOST_HELD // count, 1)))


def _cover(embeddings: Tensor, chosen: Sequence[int]) -> Tensor:
    """Every picture's likeness with the closest of the chosen ones: [N]."""
    covered = torch.zeros(len(embeddings))
    if chosen:
        for block in embeddings[list(chosen)].split(max(BLOCK // len(embeddings), 1)):
            covered = covered.maximum(measure_likeness(block, embeddings).amax(dim=0))
    return covered


def _choose(
    candidates: Tensor, likeness: Tensor, covered: Tensor, weights: Tensor, count: int, left_out: Sequence[int]
) -> list[int]:
    gains = torch.stack([(line - covered).clamp_min_(0) @ weights for line in likeness])
    gains[torch.isin(candidates, torch.tensor(list(left_out), dtype=torch.long))] = -torch.inf
    chosen = []
    for _ in range(min(count, int(gains.isfinite().sum()))):
        best = _settle(gains, likeness, covered, weights)
        chosen.append(int(candidates[best]))
        covered = covered.maximum(likeness[best])
        gains[best] = -torch.inf
    return chosen


def _settle(gains: Tensor, likeness: Tensor, covered: Tensor, weights: Tensor) -> int:
    """The candidate with the largest gain; old gains are upper bounds (they only fall), so few are computed anew."""
    while True:
        stale = gains.topk(min(ANEW, len(gains))).indices
        stale = stale[gains[stale].isfinite()]  # what is chosen or left out stays so
        gains[stale] = (likeness[stale] - covered).clamp_min_(0) @ weights
        best = int(gains.argmax())
        if bool((stale == best).any()):
            return best
