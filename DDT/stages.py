"""The two stages: fit the directions to maps, then find, cut and record the object of every image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datasets.layouts.listing import Sample
from DDT.boxes import BoxRow, RowLog
from DDT.crops import CropWriter
from DDT.descriptors import MapBatch, MapReading
from DDT.directions.grouped import ONLY_GROUP, UNCLEAR, GroupedDirections, Membership
from DDT.directions.leaves import find_leaves, find_nearest, pool_maps
from DDT.directions.merging import Cluster, make_leaf, merge_leaves
from DDT.directions.principal import Direction, Moments
from DDT.localize import Cut, Frame, Region, cut_at, find_region, search_cut, snap, whole_frame
from DDT.policy import Policy, apply_policy


@dataclass(frozen=True)
class Rule:
    """How an indicator map becomes boxes.

    rate: the cut rate, None to search. over_num: the mask's threshold in [0, 1]. any_mask: a speck or a mask of
    everything counts too, as in the public code.
    """

    policy: Policy
    rate: float | None = None
    over_num: float = 0.0
    any_mask: bool = False


@dataclass(frozen=True)
class Unfinished:
    """Rows of one batch, waiting for their crops to be on disk."""

    rows: list[BoxRow]
    crops: list[Future[None]]


def fit_direction(batches: Iterable[MapBatch], images: int, *, bars: bool = True) -> Direction:
    """The first principal direction of all descriptors of some images; raises DataError when there is none."""
    moments = Moments()
    for batch in follow(batches, images, "fit", bars):
        moments.update(batch.maps)
    return moments.direction()


def fit_groups(
    batches: Iterable[MapBatch], recall: Callable[[], Iterable[MapBatch]], images: int, wanted: int | None, *,
    bars: bool = True,
) -> GroupedDirections:
    """A direction for each kind of thing among some images; raises DataError when nothing varies.

    wanted: the number of groups, None to find it. The first pass gathers the moments of all images and their global
    features, which alone grow with the images; the second, over `recall`, the moments of each leaf.
    """
    whole, pooled = Moments(), []
    for batch in follow(batches, images, "fit", bars):
        whole.update(batch.maps)
        pooled.append(pool_maps(batch.maps))
    direction = whole.direction()  # where nothing varies, this says so
    centres = find_leaves(torch.cat(pooled), wanted or 1)
    if len(centres) == 1:
        return GroupedDirections.of_one(direction, images)
    leaves = measure_leaves(follow(recall(), images, "group", bars), centres)
    return merge_leaves(leaves, centres, direction, images, wanted)


def measure_leaves(batches: Iterable[MapBatch], centres: Tensor) -> list[Cluster]:
    """The images that are nearest to each centre [L, C], where any two of their descriptors differ."""
    leaves, sizes = [Moments() for _ in centres], [0] * len(centres)
    for batch in batches:
        nearest = torch.from_numpy(find_nearest(pool_maps(batch.maps).double().numpy(), centres.double().numpy()))
        for leaf in nearest.unique().tolist():
            chosen = (nearest == leaf).to(batch.maps.device)
            leaves[leaf].update(batch.maps[chosen])
            sizes[leaf] += int(chosen.sum())
    return [make_leaf(number, size, moments)
            for number, (size, moments) in enumerate(zip(sizes, leaves, strict=True)) if moments.vary()]


def follow(batches: Iterable[MapBatch], images: int, what: str, shown: bool = True) -> Iterator[MapBatch]:
    """The batches, with a bar of how many images have passed where it is to be `shown`."""
    with tqdm(total=images, unit="img", desc=what, disable=not shown) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch.keys))


def make_box_row(
    indicator: np.ndarray, key: str, frame: Frame, rule: Rule, reading: MapReading, member: Membership = ONLY_GROUP
) -> BoxRow:
    """All boxes of one image from its indicator map [h, w]; `frame` is the picture without dropped rows."""
    region = find_region(indicator, frame, size=reading.size, over_num=rule.over_num, any_mask=rule.any_mask)
    tight = region.box if region else whole_frame(frame)
    cut = choose_cut(region, frame, rule)
    crop = snap(apply_policy(rule.policy, cut.box, frame), frame)
    size = Frame(frame.width, frame.height + reading.crop_bottom)
    return BoxRow(key, crop, tight, cut.box, cut.rate, size, region is None, member)


def choose_cut(region: Region | None, frame: Frame, rule: Rule) -> Cut:
    """The cut at the rule's rate, the best of the searched ones, or the whole image where there is no mask.

    The public code ends with the whole image too: it reads its central 85 % as x, y, width, height, which is too large.
    """
    if region is None:
        return Cut(whole_frame(frame), 1.0)
    return search_cut(region, frame) if rule.rate is None else cut_at(region, rule.rate, frame)


def find_boxes(
    batches: Iterable[MapBatch], directions: GroupedDirections, rule: Rule, reading: MapReading
) -> Iterator[list[BoxRow]]:
    """Rows of each batch of maps.

    An image without a mask whose group is not clear is looked at along the direction of the next nearest group, too.
    """
    for batch in batches:
        members = directions.find_members(batch.maps)
        rows = make_box_rows(batch, members, directions, rule, reading)
        if any(map(may_be_of_another, rows)):
            turned = [row.member.turn() if may_be_of_another(row) else row.member for row in rows]
            others = make_box_rows(batch, turned, directions, rule, reading)
            rows = [other if row.empty and not other.empty else row for row, other in zip(rows, others, strict=True)]
        yield rows


def may_be_of_another(row: BoxRow) -> bool:
    """Whether an image without a mask lies between two groups."""
    return row.empty and row.member.margin < UNCLEAR


def make_box_rows(
    batch: MapBatch, members: list[Membership], directions: GroupedDirections, rule: Rule, reading: MapReading
) -> list[BoxRow]:
    """The row of each image of a batch, found by the direction of its group."""
    indicators = directions.project(batch.maps, members).cpu().numpy()
    described = zip(indicators, batch.keys, batch.frames, members, strict=True)
    return [make_box_row(indicator, key, frame, rule, reading, member) for indicator, key, frame, member in described]


def localise(
    batches: Iterable[list[BoxRow]], samples: Sequence[Sample], done: Sequence[BoxRow], log: RowLog, writer: CropWriter
) -> list[BoxRow]:
    """Cut and record the images after the `done` ones; crops of one batch are written while the next is computed.

    A batch's rows are recorded only when all of its crops are there. The first batch may begin with finished images.
    """
    finished, rows = {row.path for row in done}, list(done)
    by_key = {sample.key: sample for sample in samples}
    waiting = Unfinished([], [])
    with tqdm(total=len(samples), initial=len(done), unit="img", desc="localise") as bar:
        for found in batches:
            fresh = [row for row in found if row.path not in finished]
            crops = [crop for row in fresh if (crop := writer.start(by_key[row.path], row.crop))]
            rows += finish(waiting, log, bar)
            waiting = Unfinished(fresh, crops)
        rows += finish(waiting, log, bar)
    return rows


def finish(batch: Unfinished, log: RowLog, bar: tqdm) -> list[BoxRow]:
    """Wait for a batch's crops, then record its rows."""
    for crop in batch.crops:
        crop.result()
    log.add(batch.rows)
    bar.update(len(batch.rows))
    return batch.rows


def restore_crops(done: Sequence[BoxRow], samples: Sequence[Sample], writer: CropWriter) -> int:
    """Write the crops of finished rows that are not on disk (an earlier run had --no-crops); how many there were."""
    missing = [(sample, row) for sample, row in zip(samples, done) if writer.is_missing(sample)]
    crops = [writer.start(sample, row.crop) for sample, row in missing]
    for crop in tqdm(crops, unit="img", desc="restore crops", disable=not missing):
        crop.result()
    return len(missing)
