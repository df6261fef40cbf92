"""From leaves to groups: leaves whose directions agree hold one kind of thing, and share one direction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from DDT.directions.grouped import Group, GroupedDirections
from DDT.directions.principal import Direction, Moments

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


def make_leaf(number: int, images: int, moments: Moments) -> Cluster:
    """One leaf, before any is joined."""
    return Cluster((number,), Group(moments.direction(), images), moments)


def merge_leaves(
    clusters: list[Cluster], centres: Tensor, whole: Direction, images: int, wanted: int | None
) -> GroupedDirections:
    """Join the two clusters of leaves whose directions agree best, until none agree, or `wanted` groups are left.

    clusters: the leaves; the list is changed, so that moments are freed. centres [L, C]: of all leaves' features.
    whole: the direction of all images; where one group is left, it is the group's, to the last bit.
    """
    if wanted is None:
        join_agreeing(clusters)
    else:
        join_to_number(clusters, wanted)
    if len(clusters) < 2:
        return GroupedDirections.of_one(whole, images)
    clusters.sort(key=lambda cluster: -cluster.group.images)
    owners = {leaf: number for number, cluster in enumerate(clusters) for leaf in cluster.leaves}
    kept = sorted(owners)
    groups = tuple(cluster.group for cluster in clusters)
    return GroupedDirections(whole, groups, centres[kept], tuple(owners[leaf] for leaf in kept))


def join_agreeing(clusters: list[Cluster]) -> None:
    """Join as long as two directions agree, and that of both together agrees with each.

    The latter fails where two kinds differ more from each other than from their backgrounds, whose directions may be
    alike: that of both together is from one kind to the other.
    """
    refused: set[tuple[Cluster, Cluster]] = set()
    while pairs := [pair for pair in combinations(clusters, 2) if pair not in refused]:
        one, other = find_most_alike(pairs)
        if one.agree(other) < AGREEMENT:
            break
        both = join_clusters(one, other)
        if min(both.agree(one), both.agree(other)) < AGREEMENT:
            refused.add((one, other))  # the list keeps its order, and so does the pair
        else:
            replace_pair(clusters, one, other, both)
            refused = {pair for pair in refused if one not in pair and other not in pair}  # their moments are freed


def join_to_number(clusters: list[Cluster], wanted: int) -> None:
    """Join those that agree best until `wanted` are left."""
    while len(clusters) > wanted:
        one, other = find_most_alike(combinations(clusters, 2))
        replace_pair(clusters, one, other, join_clusters(one, other))


def find_most_alike(pairs: Iterable[tuple[Cluster, Cluster]]) -> tuple[Cluster, Cluster]:
    """The pair whose directions agree best, the first among equals."""
    return max(pairs, key=lambda pair: pair[0].agree(pair[1]))


def replace_pair(clusters: list[Cluster], one: Cluster, other: Cluster, both: Cluster) -> None:
    """Put what two were joined to in their place, last."""
    clusters.remove(one)
    clusters.remove(other)
    clusters.append(both)


def join_clusters(one: Cluster, other: Cluster) -> Cluster:
    """Both as one; theirs stay as they are."""
    moments = Moments()
    moments.join(one.moments)
    moments.join(other.moments)
    group = Group(moments.direction(), one.group.images + other.group.images)
    return Cluster(tuple(sorted(one.leaves + other.leaves)), group, moments)
