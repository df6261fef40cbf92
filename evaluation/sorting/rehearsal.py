"""Naming rehearsed with pictures whose kinds are known: how many names it takes, and what confidence is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evaluation.metrics.calibration import expected_gap
from evaluation.sorting.choice import NamingOrder
from evaluation.sorting.cloud import Cloud
from evaluation.sorting.spread import Spread, guess_names, spread_labels

FIRST, NEXT = 20, 10  # pictures proposed at a time, before and after the first names
SURE = 0.9  # confidence of labels that nobody would check
WITHHELD = 0.25  # share of the kinds that nobody names


@dataclass(frozen=True)
class Trust:
    """What became of the unnamed pictures, in counts, and the calibration of their confidence.

    `sure` of `asked` have a confidence of 0.9 or more, `right` of the sure ones have the right name; `on_withheld` is
    the mean confidence of pictures of kinds that nobody names (NaN without any), `gap` the expected calibration error.
    """

    asked: int
    sure: int
    right: int
    on_withheld: float
    gap: float


def rehearse_naming(cloud: Cloud, labels: Tensor, budget: int, nameable: Tensor | None = None) -> list[int]:
    """The pictures named by someone who follows the proposals and knows the kinds `labels` [N], in order.

    20 are proposed first, then 10 at a time. Pictures that are not `nameable` (bool [N]) are passed over. May return
    fewer than `budget` where no more can be named.
    """
    order = NamingOrder(cloud)
    named: list[int] = []
    passed: list[int] = []
    spread = None
    while len(named) < budget:
        proposed = order.next(NEXT if named else FIRST, named, passed, spread)
        if not proposed:
            break
        for index in proposed:
            (named if nameable is None or nameable[index] else passed).append(index)
        spread = spread_labels(cloud, show_labels(labels, named)) if named else None
    return named[:budget]


def show_labels(labels: Tensor, named: Sequence[int]) -> Tensor:
    """The labels [N] of the named pictures, -1 for all others."""
    shown = torch.full_like(labels, -1)
    shown[list(named)] = labels[list(named)]
    return shown


def naming_accuracy(smooth: Tensor, labels: Tensor, named: Sequence[int]) -> float:
    """Share of the other pictures that get their class right when the `named` ones are labelled."""
    shown = show_labels(labels, named)
    rest = shown < 0
    return float((guess_names(smooth, shown)[0] == labels)[rest].double().mean())


def draw_nameable(labels: Tensor, seed: int, share: float = WITHHELD) -> Tensor:
    """Which pictures can be named where a random `share` of the kinds in `labels` [N] is withheld: bool [N].

    At least one kind is withheld.
    """
    kinds = labels.unique()
    order = np.random.default_rng(seed).permutation(len(kinds))
    return ~torch.isin(labels, kinds[torch.from_numpy(order[: max(1, round(share * len(kinds)))])])


def rate_trust(spread: Spread, labels: Tensor, named: Sequence[int], nameable: Tensor) -> Trust:
    """How a spread from the `named` pictures compares with the true `labels` [N] of all others."""
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[list(named)] = False
    right, sure = (spread.labels == labels)[rest], (spread.confidence >= SURE)[rest]
    withheld = spread.confidence[rest & ~nameable]
    return Trust(asked=int(rest.sum()), sure=int(sure.sum()), right=int((sure & right).sum()),
                 on_withheld=float(withheld.mean()), gap=expected_gap(spread.confidence[rest], right))


def pool_trust(trusts: Sequence[Trust]) -> dict[str, float]:
    """Several draws as shares in [0, 1]: `sure` of all, `sure_right` of the sure (not without any), means of the rest.

    Means over `withheld_confidence` leave out draws in which no picture of a withheld kind was left.
    """
    sure, asked = sum(trust.sure for trust in trusts), sum(trust.asked for trust in trusts)
    seen = [trust.on_withheld for trust in trusts if not np.isnan(trust.on_withheld)]
    found = {"sure": sure / asked, "ece": float(np.mean([trust.gap for trust in trusts]))}
    if sure:
        found["sure_right"] = sum(trust.right for trust in trusts) / sure
    if seen:
        found["withheld_confidence"] = float(np.mean(seen))
    return found
