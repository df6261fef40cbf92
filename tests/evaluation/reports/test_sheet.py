"""The neighbour sheet's frames say what is right."""

from __future__ import annotations

from PIL import Image

from evaluation.reports.sheet import FOUND, GAP, HIT, MISS, QUERY, SIDE, Cell, draw_sheet


def test_frames_are_blue_green_red_and_grey() -> None:
    cells = [Cell(0, "a", None), Cell(1, "a", True), Cell(2, "b" * 90, False), Cell(1, "a", None, judged=False)]
    pictures = [Image.new("RGB", (30, 60), (10 * number, 0, 0)) for number in range(3)]
    sheet = draw_sheet(cells, 3, lambda index: pictures[index], "title")
    assert sheet.width == GAP + 3 * (SIDE + GAP)
    column = [sheet.getpixel((GAP + 2, y)) for y in range(sheet.height)]
    top, below = column.index(QUERY), column.index(FOUND)
    assert [sheet.getpixel((GAP + place * (SIDE + GAP) + 2, top)) for place in range(3)] == [QUERY, HIT, MISS]
    assert sheet.getpixel((GAP + 2 * (SIDE + GAP) + SIDE // 2, top + SIDE // 2)) == (20, 0, 0)
    assert below > top + SIDE + GAP and column[top + SIDE - 1] == QUERY
