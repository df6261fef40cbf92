"""Masks and boxes on maps whose object is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from datasets.crops import Box
from DDT.localize import (
    FALLBACK_RATE,
    SEARCHED_RATES,
    Frame,
    Region,
    area_ratio,
    count_borders,
    cut_at,
    find_region,
    fit_box,
    largest_component,
    measure_mask,
    outlines_object,
    rate_box,
    search_cut,
    snap,
    threshold,
    whole_frame,
)


def paint(*blocks: tuple[slice, slice], size: int = 14) -> np.ndarray:
    """A map of -1 with blocks of 1 and 2 (two values, so that rescaling has a range)."""
    indicator = np.full((size, size), -1.0, dtype=np.float32)
    indicator[0, 0] = 0.0
    for block in blocks:
        indicator[block] = 2.0
    return indicator


def test_threshold_rescales_the_non_negative_values() -> None:
    indicator = np.array([[-5.0, 1.0, 2.0], [3.0, 5.0, -0.1]])
    assert threshold(indicator).tolist() == [[False, False, True], [True, True, False]]
    assert threshold(indicator, 0.25).tolist() == [[False, False, False], [True, True, False]]
    assert threshold(indicator, 0.5).tolist() == [[False, False, False], [False, True, False]]


@pytest.mark.parametrize("indicator", [-np.ones((3, 3)), np.full((3, 3), 2.0), np.full((3, 3), np.nan)])
def test_no_mask(indicator: np.ndarray) -> None:
    assert not threshold(indicator).any()
    assert find_region(indicator, Frame(30, 20), size=6) is None


def mark(rows: slice, columns: slice) -> np.ndarray:
    """A mask [14, 14] of one block."""
    mask = np.zeros((14, 14), dtype=bool)
    mask[rows, columns] = True
    return mask


def test_a_mask_of_a_speck_of_everything_or_on_all_borders_is_none() -> None:
    few, enough = mark(slice(5, 6), slice(5, 7)), mark(slice(5, 6), slice(5, 8))
    assert not outlines_object(few) and outlines_object(enough)
    most, less = ~mark(slice(0, 1), slice(0, 9)), ~mark(slice(0, 1), slice(0, 14))
    assert most.mean() > 0.95 > less.mean() and not outlines_object(most) and outlines_object(less)
    cross = mark(slice(7, 8), slice(0, 14)) | mark(slice(0, 14), slice(7, 8))
    assert cross.mean() < 0.2 and not outlines_object(cross)
    assert outlines_object(cross & ~mark(slice(13, 14), slice(0, 14))), "three borders are an object's right"


@pytest.mark.parametrize("block", [(slice(5, 6), slice(5, 7)), (slice(0, 14), slice(0, 14))])
def test_such_masks_are_regions_where_any_mask_counts(block: tuple[slice, slice]) -> None:
    indicator = paint(block)
    indicator[5, 5] = 3.0
    indicator[indicator < 2.0] = np.where(indicator[indicator < 2.0] < 0, -1.0, 0.0)
    assert find_region(indicator, Frame(28, 28), size=14) is None
    assert find_region(indicator, Frame(28, 28), size=14, any_mask=True) is not None


def test_largest_component_is_4_connected() -> None:
    mask = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0]], dtype=bool)
    expected = np.array([[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=bool)
    assert (largest_component(mask) == expected).all()
    assert not largest_component(np.zeros((2, 2), dtype=bool)).any()


def test_first_of_equal_components() -> None:
    mask = np.array([[0, 0, 1], [1, 0, 0]], dtype=bool)
    assert largest_component(mask).tolist() == [[False, False, True], [False, False, False]]


@pytest.mark.parametrize("size", [2, 5, 6, 7, 448])
def test_measures_the_nearest_neighbour_enlargement(size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(20):
        mask = np.zeros((5, 3), dtype=bool)
        mask[tuple(rng.integers(0, side, 4) for side in mask.shape)] = True
        large = np.array([[mask[y * 5 // size, x * 3 // size] for x in range(size)] for y in range(size)])
        region = measure_mask(mask, Frame(size, 2 * size), size)
        if not large.any():
            assert region is None
            continue
        rows, columns = ndimage.find_objects(large.astype(int))[0]
        y, x = ndimage.center_of_mass(large)
        assert region.box == Box(columns.start, 2 * rows.start, columns.stop, 2 * rows.stop)
        assert (region.x, region.y) == pytest.approx((x + 0.5, 2 * (y + 0.5)))


def test_finds_a_known_component() -> None:
    """Rows 3..6, columns 5..12 of a 14 x 14 map of a 280 x 140 image: cells of 20 x 10 pixels; a small blob is ignored."""
    indicator = paint((slice(3, 7), slice(5, 13)), (slice(10, 12), slice(1, 4)))
    region = find_region(indicator, Frame(280, 140), size=448)
    assert region.box == Box(100, 30, 260, 70)
    assert (region.x, region.y) == pytest.approx((180, 50))


def test_centre_of_mass_is_not_the_middle() -> None:
    indicator = paint((slice(2, 4), slice(2, 12)), (slice(4, 12), slice(2, 4)))
    region = find_region(indicator, Frame(140, 140), size=448)
    assert region.box == Box(20, 20, 120, 120)
    cells = [(x, y) for y in range(14) for x in range(14) if indicator[y, x] > 0]
    assert region.x == pytest.approx(10 * np.mean([x + 0.5 for x, _ in cells]))
    assert region.y == pytest.approx(10 * np.mean([y + 0.5 for _, y in cells]))


@pytest.mark.parametrize("rate", [*SEARCHED_RATES, 1.0])
def test_cut_rates(rate: float) -> None:
    region = Region(Box(40, 60, 80, 90), 58.0, 76.0)
    cut = cut_at(region, rate, Frame(200, 150))
    assert cut.rate == rate
    assert (cut.box.x2 - cut.box.x1, cut.box.y2 - cut.box.y1) == pytest.approx((40 * rate, 30 * rate))
    assert ((cut.box.x1 + cut.box.x2) / 2, (cut.box.y1 + cut.box.y2) / 2) == pytest.approx((58, 76))


def test_place_shifts_and_clips() -> None:
    frame = Frame(100, 50)
    assert fit_box(5, 45, 30, 20, frame) == Box(0, 30, 30, 50)
    assert fit_box(98, 2, 30, 20, frame) == Box(70, 0, 100, 20)
    assert fit_box(50, 25, 300, 20, frame) == Box(0, 15, 100, 35)


def test_score_and_borders() -> None:
    frame = Frame(100, 100)
    assert area_ratio(Box(10, 10, 60, 50), frame) == pytest.approx(0.2)
    assert count_borders(Box(1, 1.1, 99, 98.9), frame) == 2
    assert count_borders(Box(0, 0, 100, 100), frame) == 4
    assert rate_box(Box(10, 10, 60, 50), frame) == pytest.approx(-0.2)
    assert rate_box(Box(0, 10, 50, 50), frame) == pytest.approx(-0.22)
    assert rate_box(Box(0, 0, 100, 81), frame) == -np.inf
    assert rate_box(Box(10, 10, 19, 19), frame) == -np.inf
    assert rate_box(Box(10, 10, 20, 20), frame) == pytest.approx(-0.01)


def test_search_takes_the_smallest_valid_rate() -> None:
    frame = Frame(200, 200)
    assert search_cut(Region(Box(50, 50, 150, 150), 100, 100), frame).rate == 0.85
    # 0.85 and 0.95 of 20 x 21.5 pixels are below 1 % of the image, so 1.05 is the smallest valid rate.
    assert search_cut(Region(Box(90, 90, 110, 110.5), 100, 100), frame).rate == 1.05


def test_search_falls_back() -> None:
    frame = Frame(1000, 1000)
    tiny = Region(Box(500, 500, 510, 510), 505, 505)
    assert search_cut(tiny, frame).rate == FALLBACK_RATE


def test_search_equals_an_exhaustive_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        frame = Frame(*(int(side) for side in rng.integers(50, 400, 2)))
        x1, x2 = sorted(rng.uniform(0, frame.width, 2))
        y1, y2 = sorted(rng.uniform(0, frame.height, 2))
        region = Region(Box(x1, y1, x2, y2), rng.uniform(x1, x2), rng.uniform(y1, y2))
        scores = {rate: rate_box(cut_at(region, rate, frame).box, frame) for rate in SEARCHED_RATES}
        found = search_cut(region, frame)
        if max(scores.values()) == -np.inf:
            assert found.rate == 1.05
        else:
            assert scores[found.rate] == max(scores.values())


def test_snap_keeps_squares_and_stays_inside() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        frame = Frame(*(int(side) for side in rng.integers(1, 60, 2)))
        side = rng.uniform(0.1, min(frame.width, frame.height))
        box = snap(fit_box(rng.uniform(0, frame.width), rng.uniform(0, frame.height), side, side, frame), frame)
        assert box.x2 - box.x1 == box.y2 - box.y1 >= 1
        assert 0 <= box.x1 < box.x2 <= frame.width and 0 <= box.y1 < box.y2 <= frame.height
        assert all(float(value).is_integer() for value in (box.x1, box.y1, box.x2, box.y2))


def test_whole() -> None:
    assert whole_frame(Frame(30, 20)) == Box(0, 0, 30, 20)
