"""Directions of groups of images: which group an image is in, how clearly, and its indicator map."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from DDT.directions.leaves import measure_from_centres, pool_maps
from DDT.directions.principal import Direction, project

# An image that is nearly as near to another group may be of its kind. In folders of 30 birds among pets or flowers, all
# 40 birds of a wrong group had margins of 0.14 at most, and the right ones without a mask 0.43 at least.
UNCLEAR = 0.15
UNSURE = 0.3  # a correlation with the norm below it says little about where the object is


@dataclass(frozen=True)
class Group:
    """One kind of thing: its direction, and how many training images it was fitted on."""

    direction: Direction
    images: int

    @property
    def sign_is_sure(self) -> bool:
        """Whether the norms of descriptors say which side of the direction is the object."""
        return self.direction.correlation >= UNSURE


@dataclass(frozen=True)
class Membership:
    """The group that an image is in, counted from 0, and how clearly.

    margin: 1 - the distance to the group's nearest centre over that to the nearest centre of another group, in [0, 1]:
    0 is half-way between two groups. 1 where there is one group. second: the next nearest group.
    """

    group: int
    margin: float
    second: int = field(default=0, compare=False)

    def turn(self) -> Membership:
        """In the next nearest group instead; the margin is 0."""
        return Membership(self.second, 0.0, self.group)


ONLY_GROUP = Membership(0, 1.0)


@dataclass(frozen=True)
class GroupedDirections:
    """A direction for each group, and how an image finds its own.

    whole: the one direction of all images, fitted as if there were no groups. groups: the largest first.
    centres [L, C]: unit features of small groups of images that look alike; owners: the group that each belongs to.
    """

    whole: Direction
    groups: tuple[Group, ...]
    centres: Tensor
    owners: tuple[int, ...]

    @classmethod
    def of_one(cls, direction: Direction, images: int) -> GroupedDirections:
        """One direction for all images."""
        return cls(direction, (Group(direction, images),), torch.zeros(1, len(direction.mean)), (0,))

    def find_members(self, maps: Tensor) -> list[Membership]:
        """The group of each image of maps [B, C, h, w]: that of the nearest centre."""
        if len(self.groups) == 1:
            return [ONLY_GROUP] * len(maps)
        distances = measure_from_centres(pool_maps(maps).double().numpy(), self.centres.double().numpy())
        owners = np.array(self.owners)
        nearest = np.stack([distances[:, owners == number].min(axis=1) for number in range(len(self.groups))], axis=1)
        return [make_membership(row) for row in nearest]

    def project(self, maps: Tensor, members: list[Membership]) -> Tensor:
        """Indicator maps float32 [B, h, w] of maps [B, C, h, w], each along the direction of its image's group."""
        if len(self.groups) == 1:
            return project(maps, self.groups[0].direction)
        numbers = torch.tensor([member.group for member in members], device=maps.device)
        indicators = torch.empty(maps.shape[0], *maps.shape[2:], device=maps.device)
        for number in numbers.unique().tolist():
            chosen = numbers == number
            indicators[chosen] = project(maps[chosen], self.groups[number].direction)
        return indicators


def make_membership(distances: np.ndarray) -> Membership:
    """The membership of an image at these distances [G] from the groups."""
    first, second = np.argsort(distances, kind="stable")[:2]
    far = float(distances[second])
    return Membership(int(first), 1 - float(distances[first]) / far if far > 0 else 0.0, int(second))
