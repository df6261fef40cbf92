"""The neighbour sheet's frames say what is right."""

from __future__ import annotations

from PIL import Image

from evaluation.reports.sheet import CAPTION, GAP, HIT, MISS, QUERY, SIDE, Cell, draw_sheet


def test_frames_are_blue_green_and_red() -> None:
    rows = [[Cell(0, "a", None), Cell(1, "a", True), Cell(2, "b" * 90, False)], [Cell(1, "a", None)]]
    pictures = [Image.new("RGB", (30, 60), (10 * number, 0, 0)) for number in range(3)]
    sheet = draw_sheet(rows, lambda index: pictures[index], "title")
    top = GAP + CAPTION + 2
    seen = [sheet.getpixel((GAP + place * (SIDE + GAP) + 2, top)) for place in range(3)]
    assert seen == [QUERY, HIT, MISS]
    assert sheet.getpixel((GAP + 2 * (SIDE + GAP) + SIDE // 2, top + SIDE // 2)) == (20, 0, 0)
    assert sheet.size == (GAP + 3 * (SIDE + GAP), GAP + CAPTION + 2 * (SIDE + CAPTION + GAP))
