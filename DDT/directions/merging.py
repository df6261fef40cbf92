"""From leaves to groups: leaves whose directions agree hold one kind of thing, and share one direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from DDT.directions.grouped import Group, GroupedDirections
from DDT.directions.principal import Moments

# The cosine from which two directions are of one kind of thing. With EfficientNet-Lite0 leaves within birds, flowers,
# cars, cats or dogs join at 0.33 to 0.7 at the lowest; groups of different kinds stay at 0.25 and below.
AGREEMENT = 0.3


@dataclass(frozen=True, eq=False)
class Cluster:
    """Leaves that are one group so far, by number, with their images, their moments and what these give."""

    leaves: tuple[int, ...]
    group: Group
    moments: Moments

    def agree(self, other: Cluster) -> float:
        """The cosine between both directions; its absolute value where a sign is unsure, which may be turned over."""
        cosine = float(torch.dot(self.group.direction.vector, other.group.direction.vector))
        return cosine if self.group.sign_is_sure and other.group.sign_is_sure else abs(cosine)


def merge_leaves(
    leaves: Sequence[Moments], sizes: Sequence[int], centres: Tensor, whole: Moments, wanted: int | None
) -> GroupedDirections:
    """Join the two clusters of leaves whose directions agree best, until none agree, or `wanted` groups are left.

    leaves: moments of each leaf's images, `sizes` their numbers, `centres` [L, C] of their features. whole: the moments
    of all images; where one group is left, its direction is theirs to the last bit.
    """
    shared = whole.direction()
    clusters = [Cluster((number,), Group(moments.direction(), size), moments)
                for number, (moments, size) in enumerate(zip(leaves, sizes, strict=True)) if moments.vary()]
    clusters = join_agreeing(clusters) if wanted is None else join_to_number(clusters, wanted)
    if len(clusters) < 2:
        return GroupedDirections.of_one(shared, sum(sizes))
    clusters.sort(key=lambda cluster: -cluster.group.images)
    owners = {leaf: number for number, cluster in enumerate(clusters) for leaf in cluster.leaves}
    kept = sorted(owners)
    groups = tuple(cluster.group for cluster in clusters)
    return GroupedDirections(shared, groups, centres[kept], tuple(owners[leaf] for leaf in kept))


def join_agreeing(clusters: list[Cluster]) -> list[Cluster]:
    """Join as long as two directions agree, and that of both together agrees with each.

    The latter fails where two kinds differ more from each other than from their backgrounds, whose directions may be
    alike: that of both together is from one kind to the other.
    """
    refused: set[tuple[Cluster, Cluster]] = set()
    while pairs := [pair for pair in combinations(clusters, 2) if pair not in refused]:
        one, other = max(pairs, key=lambda pair: pair[0].agree(pair[1]))
        if one.agree(other) < AGREEMENT:
            break
        both = join_clusters(one, other)
        if min(both.agree(one), both.agree(other)) < AGREEMENT:
            refused.add((one, other))  # new clusters come last, so a pair keeps its order
        else:
            clusters = [*(cluster for cluster in clusters if cluster not in (one, other)), both]
    return clusters


def join_to_number(clusters: list[Cluster], wanted: int) -> list[Cluster]:
    """Join those that agree best until `wanted` are left."""
    while len(clusters) > wanted:
        one, other = max(combinations(clusters, 2), key=lambda pair: pair[0].agree(pair[1]))
        clusters = [*(cluster for cluster in clusters if cluster not in (one, other)), join_clusters(one, other)]
    return clusters


def join_clusters(one: Cluster, other: Cluster) -> Cluster:
    """Both as one; theirs stay as they are."""
    moments = Moments()
    moments.join(one.moments)
    moments.join(other.moments)
    group = Group(moments.direction(), one.group.images + other.group.images)
    return Cluster(tuple(sorted(one.leaves + other.leaves)), group, moments)
