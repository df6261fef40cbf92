"""Groups of images: two kinds of things with opposite directions, of which one direction finds one at most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.crops import Box
from DDT.descriptors import MapBatch, MapReading
from DDT.directions.account import describe_directions, tabulate_groups
from DDT.directions.grouped import ONLY_GROUP, UNCLEAR, Group, GroupedDirections, Membership, make_membership
from DDT.directions.leaves import LEAST, find_leaves, pool_maps
from DDT.directions.merging import Cluster, join_agreeing, make_leaf
from DDT.directions.principal import Direction, Moments
from DDT.localize import Frame, largest_component, threshold
from DDT.policy import Policy
from DDT.stages import Rule, find_boxes, fit_direction, fit_groups
from runtime.errors import DataError

CHANNELS, SIDE = 40, 7
THING, GROUND = (0, 1), (1, 0)  # the channels that the objects of both kinds are strong in, and their backgrounds
TRUTH = torch.zeros(SIDE, SIDE, dtype=torch.bool)
TRUTH[2:5, 1:4] = True


def make_kind(kind: int, count: int, seed: int = 0) -> Tensor:
    """Maps [count, C, 7, 7]: noise, a strong channel on the object, and the other kind's channel on the background.

    One channel more tells the kinds apart, at every position. So the object of one kind is the background of the other:
    along x_0 - x_1 they point in opposite directions.
    """
    generator = torch.Generator().manual_seed(10 * seed + kind)
    maps = 0.1 * torch.randn(count, CHANNELS, SIDE, SIDE, generator=generator)
    maps[:, THING[kind]] += 3.0 * TRUTH
    maps[:, GROUND[kind]] += 2.0 * ~TRUTH
    maps[:, 2 + kind] += 1.0
    return maps


def make_batches(maps: Tensor, size: int = 16) -> list[MapBatch]:
    """Batches as the network gives them."""
    parts = maps.split(size)
    return [MapBatch(tuple(f"{number}/{n}" for n in range(len(part))), part, [Frame(70, 70)] * len(part))
            for number, part in enumerate(parts)]


def fit(maps: Tensor, wanted: int | None = None) -> GroupedDirections:
    batches = make_batches(maps)
    return fit_groups(batches, lambda: batches, len(maps), wanted)


def count_found(directions: GroupedDirections, maps: Tensor) -> int:
    """How many masks are the object, but for the position of its lowest value, which the threshold leaves out."""
    indicators = directions.project(maps, directions.find_members(maps)).numpy()
    masks = [largest_component(threshold(indicator)) for indicator in indicators]
    return sum(bool((mask <= TRUTH.numpy()).all()) and int(mask.sum()) >= int(TRUTH.sum()) - 1 for mask in masks)


@pytest.mark.parametrize("counts", [(60, 60), (60, 10), (10, 60)])
@pytest.mark.parametrize("wanted", [None, 2])
def test_one_direction_fails_and_two_succeed(counts: tuple[int, int], wanted: int | None) -> None:
    kinds = [make_kind(kind, count) for kind, count in enumerate(counts)]
    maps = torch.cat(kinds)[torch.randperm(sum(counts), generator=torch.Generator().manual_seed(1))]
    unseen = [make_kind(kind, 20, seed=1) for kind in (0, 1)]
    one = GroupedDirections.of_one(fit_direction(make_batches(maps), len(maps)), len(maps))
    assert min(count_found(one, images) for images in unseen) == 0
    two = fit(maps, wanted)
    assert sorted(group.images for group in two.groups) == sorted(counts)
    assert [count_found(two, images) for images in unseen] == [20, 20]
    members = [{member.group for member in two.find_members(images)} for images in unseen]
    assert all(len(found) == 1 for found in members) and members[0] != members[1]


def test_directions_are_those_of_each_kind_alone() -> None:
    kinds = [make_kind(0, 60), make_kind(1, 40)]
    found = fit(torch.cat(kinds))
    alone = [fit_direction(make_batches(maps), len(maps)) for maps in kinds]
    for group, direction in zip(found.groups, alone, strict=True):
        assert torch.dot(group.direction.vector, direction.vector) > 0.99999
        assert group.direction.correlation == pytest.approx(direction.correlation, abs=1e-5)
    analytic = torch.zeros(CHANNELS)
    analytic[0], analytic[1] = 3.0, -2.0
    assert torch.dot(found.groups[0].direction.vector, analytic / analytic.norm()) > 0.999
    assert found.groups[0].direction.vector[0] * found.groups[1].direction.vector[0] < 0


def test_one_kind_has_today_s_direction_to_the_last_bit() -> None:
    """Classes of one kind of thing differ in a channel; their directions agree, and all of them share one."""
    maps = make_kind(0, 90)
    for number in range(3):
        maps[30 * number : 30 * (number + 1), 10 + number] += 1.0
    found, one = fit(maps), fit_direction(make_batches(maps), len(maps))
    (group,) = found.groups
    assert torch.equal(group.direction.vector, one.vector) and torch.equal(group.direction.mean, one.mean)
    assert found.find_members(maps) == [ONLY_GROUP] * 90 and group.images == 90
    assert len(fit(maps, wanted=2).groups) == 2, "asked for, they are made all the same"


def test_few_images_have_one_direction() -> None:
    maps = torch.cat([make_kind(0, 2 * LEAST), make_kind(1, LEAST - 1)])
    assert len(find_leaves(pool_maps(maps))) == 1 and len(fit(maps).groups) == 1


def test_pictures_that_are_all_equal_among_others() -> None:
    maps = torch.cat([make_kind(0, 40), torch.ones(15, CHANNELS, SIDE, SIDE)])
    assert len(fit(maps).groups) == 1
    with pytest.raises(DataError, match="there is no direction to fit"):
        fit(torch.ones(30, CHANNELS, SIDE, SIDE))


def test_leaves_are_large_enough_and_found_again() -> None:
    maps = torch.cat([make_kind(0, 200), make_kind(1, 30)])
    pooled = pool_maps(maps)
    centres = find_leaves(pooled)
    sizes = torch.bincount(torch.cdist(pooled, centres).argmin(dim=1), minlength=len(centres))
    assert 2 <= len(centres) <= 24 and sizes.min() >= LEAST
    assert torch.equal(centres, find_leaves(pooled))
    assert torch.allclose(pooled, torch.nn.functional.normalize(maps.mean((2, 3)), dim=1), atol=1e-6)
    assert torch.equal(pooled, pool_maps(maps.to(memory_format=torch.channels_last)))


def test_the_second_pass_sees_every_image_once() -> None:
    maps, seen = torch.cat([make_kind(0, 60), make_kind(1, 40)]), []

    def recall() -> Iterator[MapBatch]:
        for batch in make_batches(maps):
            seen.extend(batch.keys)
            yield batch

    found = fit_groups(make_batches(maps), recall, len(maps), None)
    assert len(seen) == len(set(seen)) == 100
    assert sum(group.direction.count for group in found.groups) == found.whole.count == 100 * SIDE * SIDE


def test_joined_moments_are_those_of_all_descriptors() -> None:
    maps, whole, part, rest = make_kind(0, 30), Moments(), Moments(), Moments()
    whole.update(maps)
    part.update(maps[:7])
    rest.update(maps[7:])
    part.join(rest)
    assert part.count == whole.count and torch.allclose(part.mean, whole.mean)
    assert torch.allclose(part.scatter, whole.scatter, atol=1e-3)
    before = rest.scatter.clone()
    empty = Moments()
    empty.join(rest)
    empty.update(maps)
    assert torch.equal(rest.scatter, before), "the joined moments stay as they were"


def test_the_margin_of_a_membership() -> None:
    assert make_membership(np.array([3.0, 1.0, 2.0])) == Membership(1, 0.5)
    assert make_membership(np.array([1.0, 1.0])) == Membership(0, 0.0)
    assert make_membership(np.array([0.0, 0.0])) == Membership(0, 0.0)
    assert make_membership(np.array([2.0, 0.0])) == Membership(1, 1.0)
    found = fit(torch.cat([make_kind(0, 60), make_kind(1, 40)]))
    maps = [make_kind(kind, 1, seed=2) for kind in (0, 1)]
    margins = [found.find_members(share * maps[0] + (1 - share) * maps[1])[0].margin for share in (1.0, 0.8, 0.6)]
    assert all(earlier > later for earlier, later in pairwise(margins)) and margins[-1] >= 0 and margins[0] <= 1


def test_an_unsure_sign_is_told() -> None:
    sure, unsure = (Direction(torch.zeros(3), torch.ones(3), -1.0, 0.1, value, 90) for value in (0.8, 0.2))
    both = GroupedDirections(sure, (Group(sure, 6), Group(unsure, 4)), torch.zeros(2, 3), (0, 1))
    first, second = describe_directions(both).splitlines()[1:]
    assert "6 training images" in first and "unsure" not in first and "sign -1, unsure" in second
    assert [group["images"] for group in tabulate_groups(both)] == [6, 4]
    assert "unsure" in describe_directions(GroupedDirections.of_one(unsure, 10))


def make_axes() -> GroupedDirections:
    """Two groups along channels 0 and 1, whose images are told apart by channels 2 and 3."""
    axes = torch.eye(CHANNELS)
    first, second = (Direction(torch.zeros(CHANNELS), axes[channel], 1.0, 0.1, 0.8, 90) for channel in (0, 1))
    return GroupedDirections(first, (Group(first, 6), Group(second, 4)), axes[2:4], (0, 1))


@pytest.mark.parametrize(("nearness", "group"), [(1.05, 1), (3.0, 0)])
def test_a_picture_between_two_groups_is_looked_at_along_both(nearness: float, group: int) -> None:
    """Nothing stands out along the direction of the group that is a little nearer, an object along that of the other."""
    maps = torch.full((1, CHANNELS, SIDE, SIDE), -0.01)
    maps[:, 1, 2:5, 1:4] = torch.arange(2.0, 11.0).view(3, 3)
    maps[:, 2], maps[:, 3] = nearness, 1.0
    (row,) = next(find_boxes(make_batches(maps), make_axes(), Rule(Policy("none")), MapReading(size=70)))
    assert row.member.group == group and row.empty == (group == 0)
    if group:
        assert (row.member.margin, row.tight) == (0.0, Box(10, 20, 40, 50))
    else:
        assert row.member.margin > UNCLEAR


def make_cluster(number: int, vector: list[float], mean: list[float]) -> Cluster:
    """Forty descriptors along a direction around a mean."""
    along = torch.nn.functional.normalize(torch.tensor(vector).float(), dim=0)
    rows = torch.tensor(mean).float() + torch.linspace(-1, 1, 40)[:, None] * along
    moments = Moments()
    moments.update(rows.T[None, :, :, None])
    return make_leaf(number, 10, moments)


def test_like_directions_join_unless_the_means_lie_apart_along_another() -> None:
    near = [make_cluster(0, [1, 0.1, 0, 0], [9, 0, 0, 0]), make_cluster(1, [1, 0, 0.1, 0], [9, 0.1, 0, 0])]
    join_agreeing(near)
    assert [cluster.leaves for cluster in near] == [(0, 1)]
    apart = [make_cluster(0, [1, 0.1, 0, 0], [9, 0, 0, 0]), make_cluster(1, [1, 0, 0.1, 0], [9, 0, 0, 40])]
    assert apart[0].agree(apart[1]) > 0.9  # they look alike, and what both have in common is the way between them
    join_agreeing(apart)
    assert sorted(cluster.leaves for cluster in apart) == [(0,), (1,)]


def test_a_sign_that_is_unsure_may_be_turned_over() -> None:
    one, other = (make_cluster(number, [1, 0, 0, 0], [9, 0, 0, 0]) for number in (0, 1))
    turned = replace(other, group=replace(other.group, direction=replace(
        other.group.direction, vector=-other.group.direction.vector, correlation=0.0)))
    assert one.group.sign_is_sure and not turned.group.sign_is_sure
    assert one.agree(turned) == pytest.approx(1.0) and one.agree(other) == pytest.approx(1.0)
    sure = replace(turned, group=replace(turned.group, direction=replace(turned.group.direction, correlation=0.9)))
    assert one.agree(sure) == pytest.approx(-1.0)


def test_leaves_keep_to_their_memory_unless_more_groups_are_wanted() -> None:
    rows = torch.nn.functional.normalize(torch.randn(600, 2048), dim=1)
    assert len(find_leaves(rows)) <= 14
    assert 14 < len(find_leaves(rows, 16)) <= 16


def test_few_among_many_have_leaves_of_their_own() -> None:
    """Thirty of two small kinds among hundreds of a varied one: the first round sees one kind in them."""
    draw = torch.Generator().manual_seed(0)
    many = torch.nn.functional.normalize(torch.randn(560, 32, generator=draw), dim=1)
    small = torch.eye(32)[30] + 0.02 * torch.randn(30, 32, generator=draw)
    small[15:] += 0.3 * torch.eye(32)[31]
    rows = torch.nn.functional.normalize(torch.cat([many, small]), dim=1)
    nearest = torch.cdist(rows[560:], find_leaves(rows)).argmin(dim=1)
    assert not set(nearest[:15].tolist()) & set(nearest[15:].tolist())
