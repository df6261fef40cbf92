"""Which boxes deserve a second look."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.crops import Box
from evaluation.atlas.boxes import FoundBox, judge_box, read_found_boxes


@pytest.mark.parametrize(("box", "empty", "faults"), [
    (Box(20, 30, 80, 70), False, ()),
    (Box(0, 30, 80, 70), False, ()),  # a bird that leaves the picture on one side
    (Box(0, 0, 80, 70), False, ()),
    (Box(0, 0, 100, 70), False, ("touches 3 borders",)),
    (Box(0, 0, 100, 90), False, ("touches 3 borders",)),
    (Box(-5, -5, 105, 105), False, ("nearly everything",)),
    (Box(50, 50, 60, 60), False, ("nearly nothing",)),
    (Box(20, 30, 80, 70), True, ("no object was found",)),
    (Box(0, 0, 100, 100), True, ("no object was found", "nearly everything")),
])
def test_what_is_odd_about_a_box(box: Box, empty: bool, faults: tuple[str, ...]) -> None:
    judged = judge_box(FoundBox(box, box, empty), 100, 100)
    assert judged.faults == faults and (judged.suspicion > 0) == bool(faults)
    assert all(0 <= share <= 1 for share in judged.corners)


def test_the_mask_is_judged_and_the_crop_is_drawn() -> None:
    judged = judge_box(FoundBox(Box(0, 0, 200, 100), Box(50, 20, 150, 80)), 200, 100)
    assert judged.faults == () and judged.corners == (0, 0, 1, 1)


def test_the_smaller_is_the_more_suspicious_and_no_mask_the_most() -> None:
    judged = [judge_box(FoundBox(box, box, empty), 100, 100).suspicion for box, empty in (
        (Box(0, 0, 1, 1), True), (Box(5, 5, 6, 6), False), (Box(5, 5, 15, 15), False), (Box(0, 0, 100, 70), False))]
    assert judged == sorted(judged, reverse=True) and len(set(judged)) == 4


def test_boxes_are_read_with_their_masks_and_cuts(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text(
        "path,x1,y1,x2,y2,tight_x1,tight_y1,tight_x2,tight_y2\na.jpg,0,0,50,50,10,10,20,20\nb.jpg,1,2,3,4,,,,\n")
    assert read_found_boxes(tmp_path) == {
        "a.jpg": FoundBox(Box(0, 0, 50, 50), Box(10, 10, 20, 20)), "b.jpg": FoundBox(Box(1, 2, 3, 4), Box(1, 2, 3, 4))}
    (tmp_path / "cuts.csv").write_text("path,x1,y1,x2,y2,empty\na.jpg,0,0,1,1,1\nb.jpg,0,0,1,1,0\n")
    assert [box.empty for box in read_found_boxes(tmp_path / "boxes.csv").values()] == [True, False]
    assert read_found_boxes(tmp_path / "crops") == {}
