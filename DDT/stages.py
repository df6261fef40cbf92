"""The two stages: fit the direction to maps, then find, cut and record the object of every image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from datasets.layouts.listing import Sample
from DDT.boxes import BoxRow, RowLog
from DDT.crops import CropWriter
from DDT.descriptors import MapBatch, MapReading
from DDT.localize import Cut, Frame, Region, cut_at, find_region, search_cut, snap, whole_frame
from DDT.policy import Policy, apply_policy
from DDT.principal import Direction, Moments, project


@dataclass(frozen=True)
class Rule:
    """How an indicator map becomes boxes.

    rate: the cut rate, None to search. over_num: the mask's threshold in [0, 1].
    """

    policy: Policy
    rate: float | None = None
    over_num: float = 0.0


@dataclass(frozen=True)
class Unfinished:
    """Rows of one batch, waiting for their crops to be on disk."""

    rows: list[BoxRow]
    crops: list[Future[None]]


def fit_direction(batches: Iterable[MapBatch], images: int) -> Direction:
    """The first principal direction of all descriptors of some images; raises DataError when there is none."""
    moments = Moments()
    with tqdm(total=images, unit="img", desc="fit") as bar:
        for batch in batches:
            moments.update(batch.maps)
            bar.update(len(batch.keys))
    return moments.direction()


def make_box_row(indicator: np.ndarray, key: str, frame: Frame, rule: Rule, reading: MapReading) -> BoxRow:
    """All boxes of one image from its indicator map [h, w]; `frame` is the picture without dropped rows."""
    region = find_region(indicator, frame, size=reading.size, over_num=rule.over_num)
    tight = region.box if region else whole_frame(frame)
    cut = choose_cut(region, frame, rule)
    crop = snap(apply_policy(rule.policy, cut.box, frame), frame)
    size = Frame(frame.width, frame.height + reading.crop_bottom)
    return BoxRow(key, crop, tight, cut.box, cut.rate, size, empty=region is None)


def choose_cut(region: Region | None, frame: Frame, rule: Rule) -> Cut:
    """The cut at the rule's rate, the best of the searched ones, or the whole image where there is no mask.

    The public code ends with the whole image too: it reads its central 85 % as x, y, width, height, which is too large.
    """
    if region is None:
        return Cut(whole_frame(frame), 1.0)
    return search_cut(region, frame) if rule.rate is None else cut_at(region, rule.rate, frame)


def find_boxes(
    batches: Iterable[MapBatch], direction: Direction, rule: Rule, reading: MapReading
) -> Iterator[list[BoxRow]]:
    """Rows of each batch of maps."""
    for batch in batches:
        indicators = project(batch.maps, direction).cpu().numpy()
        described = zip(indicators, batch.keys, batch.frames, strict=True)
        yield [make_box_row(indicator, key, frame, rule, reading) for indicator, key, frame in described]


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
