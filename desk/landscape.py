"""What can be said of pictures before anybody has named one: groups, an order by likeness, copies, odd ones.

Finding it takes a while where pictures are many, so it is found bit by bit while a person already names pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from evaluation.audit.copies import find_copies, join_groups
from evaluation.sorting.cloud import ODD, Cloud
from evaluation.sorting.groups import estimate_groups, group
from evaluation.sorting.strip import order_by_similarity

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Landscape:
    """What is known so far of N pictures; empty or None is not known yet.

    strip [N]: their places in an order in which neighbours look alike. scales: numbers of groups that suit them, coarse
    to fine; scale: the one in use; groups [N]: by number of groups. odd [N]: unlike all others. twins [N]: pictures
    with one number are nearly the same, -1 is like no other.
    """

    odd: NDArray[np.bool_]
    strip: Integers | None = None
    scales: tuple[int, ...] = ()
    scale: int = 0
    groups: dict[int, Integers] = field(default_factory=dict)
    twins: Integers | None = None


def begin_landscape(oddness: Tensor) -> Landscape:
    """What the oddness of pictures, float32 [N], tells alone."""
    return Landscape((oddness > ODD).numpy())


def explore(
    known: Landscape, cloud: Cloud, scale: int | None, shrink: Callable[[], Tensor]
) -> Iterator[Landscape]:
    """The landscape after each bit of knowledge: order, groups at their usual or the chosen `scale`, near duplicates.

    `shrink` gives small grey pictures, uint8 [N, S, S], which decide whether what looks alike is the same.
    """
    known = replace(known, strip=order_by_similarity(cloud).numpy())
    yield known
    estimate = estimate_groups(cloud.reduced, cloud.smooth)
    known = replace(known, scales=estimate.scales)
    known = choose_scale(known, cloud, scale or estimate.count)
    yield known
    copies = find_copies(cloud.near, cloud.cosine, shrink())
    yield replace(known, twins=join_groups(len(cloud.near), copies.pairs).numpy())


def choose_scale(known: Landscape, cloud: Cloud, scale: int) -> Landscape:
    """The landscape with `scale` groups in use, found now unless they were before."""
    found = known.groups.get(scale)
    groups = group(cloud.smooth, scale).numpy() if found is None else found
    return replace(known, scale=scale, groups={**known.groups, scale: groups})
