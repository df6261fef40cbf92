"""What epochs say of an image, on curves that can be followed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.atlas.trajectories import (
    average_epochs,
    find_favourites,
    follow_images,
    list_examples,
    measure_fall,
    thin_epochs,
)
from evaluation.image_log import ImageHistory

NAN = np.nan


def make_history(**columns: object) -> ImageHistory:
    tables = {name: np.array(table, np.float32) for name, table in columns.items()}
    return ImageHistory(list(range(len(tables["entropy"]))), tables)


def test_a_sure_teacher_that_is_not_followed_comes_first() -> None:
    entropy = [[0.9, 0.1, 0.1, NAN]] * 3
    history = make_history(entropy=entropy, student_entropy=entropy, agreement=[[0, 0, 1, NAN]] * 3,
                           contrast=np.square(entropy), distill=1 - np.square(entropy))
    found = follow_images(history)
    assert found.sure_disagreement[:3] == pytest.approx([0.1, 0.9, 0.0]) and np.isnan(found.sure_disagreement[3])
    assert found.disagrees.tolist() == [False, True, False, False]
    assert found.distill[1] == pytest.approx(0.99)


def test_a_fall_is_that_from_the_first_third_to_the_last() -> None:
    table = np.array([[1.0, 0.2], [0.8, NAN], [0.5, 0.3], [0.5, 0.3], [0.2, 0.6], [0.0, NAN]], np.float32)
    assert measure_fall(table) == pytest.approx([0.9 - 0.1, 0.2 - 0.6])
    assert measure_fall(table[:1]).tolist() == [0, 0], "one epoch has no beginning and no end"


def test_means_leave_out_epochs_in_which_an_image_did_not_come() -> None:
    found = average_epochs(np.array([[1, NAN, NAN], [0, 0.5, NAN]], np.float32))
    assert found[:2].tolist() == [0.5, 0.5] and np.isnan(found[2])


def test_long_curves_are_thinned_and_short_ones_are_not() -> None:
    table = np.arange(7, dtype=np.float32)[:, None]
    assert thin_epochs(table, 7) is table
    assert thin_epochs(table, 3)[:, 0].tolist() == [1.0, 3.5, 5.5]


def test_favourites_are_the_commonest_ids_and_their_images_the_surest() -> None:
    ids = np.array([[7, 2, 7, NAN], [7, 3, 2, NAN], [2, 3, 7, NAN]], np.float32)
    favourites = find_favourites(ids)
    assert favourites[0] == [(7, pytest.approx(2 / 3)), (2, pytest.approx(1 / 3))] and favourites[1][0][0] == 3
    assert favourites[3] == []
    entropy = np.array([0.5, 0.1, 0.2, NAN], np.float32)
    assert list_examples(favourites, entropy) == {3: [1], 7: [2, 0]}
    assert list_examples(favourites, entropy, count=1) == {3: [1], 7: [2]}
