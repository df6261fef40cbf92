"""The paired bootstrap: what it must give exactly, and how often its interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics.bootstrap import Estimate, estimate, estimate_paired_differences, interval, resample_means


def draw_values(rows: int = 3, seeds: int = 3, images: int = 50) -> np.ndarray:
    """Hits of rows, seeds and images."""
    return (np.random.default_rng(1).random((rows, seeds, images)) < 0.6).astype(float)


def test_equal_rows_do_not_differ_at_all() -> None:
    values = np.repeat(draw_values(1), 3, axis=0)
    assert estimate_paired_differences(values, 1) == [Estimate(0.0, 0.0, 0.0)] * 3
    assert not estimate_paired_differences(values, 1)[0].excludes_zero


def test_a_constant_shift_is_found_without_doubt() -> None:
    values = np.concatenate([draw_values(1), draw_values(1) + 0.25, draw_values(1) - 0.5])
    _, above, below = estimate_paired_differences(values, 0)
    assert [above.mean, above.low, above.high] == pytest.approx([0.25] * 3)
    assert [below.mean, below.low, below.high] == pytest.approx([-0.5] * 3)
    assert above.excludes_zero and below.excludes_zero


def test_pairing_cancels_what_makes_an_image_hard() -> None:
    hard = np.random.default_rng(0).random((1, 1, 200))
    values = np.concatenate([hard, hard + np.random.default_rng(1).normal(0.05, 0.05, hard.shape)])
    alone, paired = estimate(values), estimate_paired_differences(values, 0)
    assert alone[1].low < alone[0].high and paired[1].excludes_zero


def test_weighted_means_are_those_of_drawn_images_and_seeds() -> None:
    values, draws = draw_values(2, 2, 7), 5
    rng = np.random.default_rng(4)
    images = rng.multinomial(7, [1 / 7] * 7, draws) / 7
    seeds = rng.multinomial(2, [1 / 2] * 2, draws) / 2
    slow = [[sum(seeds[b, s] * images[b] @ values[r, s] for s in range(2)) for r in range(2)] for b in range(draws)]
    assert resample_means(values, draws, seed=4) == pytest.approx(np.array(slow))


def test_blocks_give_every_draw_its_own_weights() -> None:
    means = resample_means(np.random.default_rng(0).random((1, 1, 4000)), draws=1100)
    assert len(np.unique(means)) == 1100


def test_seeds_widen_the_interval_only_where_they_differ() -> None:
    frozen = np.repeat(draw_values(1, 1), 3, axis=1)
    trained = frozen + np.array([-0.2, 0.0, 0.2])[None, :, None]
    fixed, moving = estimate(np.concatenate([frozen, trained]))
    assert moving.mean == pytest.approx(fixed.mean) and moving.high - moving.low > 1.2 * (fixed.high - fixed.low)
    single = estimate(frozen[:, :1])[0]
    assert (fixed.low, fixed.high) == pytest.approx((single.low, single.high))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [estimate((rng.random((1, 1, 200)) < 0.7).astype(float), draws=400, seed=trial)[0] for trial in range(300)]
    assert 0.91 <= np.mean([one.low <= 0.7 <= one.high for one in found]) <= 0.98


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros((1, 1, 0)), np.full((1, 1, 3), np.nan)])
def test_what_cannot_be_resampled_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rows, seeds, images"):
        estimate(values)


def test_interval_of_one_network_leaves_skipped_queries_out() -> None:
    values = np.random.default_rng(8).random(400)
    low, high = interval(np.concatenate([values, np.full(50, np.nan)]))
    assert low < values.mean() < high and high - low == pytest.approx(4 * 0.289 / 20, rel=0.25)
