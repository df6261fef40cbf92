"""The overlay picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageColor, ImageDraw

from datasets.crops import Box
from datasets.layouts.listing import Sample
from DDT.boxes import BoxRow
from DDT.directions.grouped import Membership
from DDT.localize import Frame
from DDT.sheet import PENS, TRUTH, choose_evenly, draw_box_sheet, outline_box
from runtime.drawing import draw_box
from runtime.typefaces import measure_text, shorten_to_width


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(1 << 24)}


def test_chooses_evenly() -> None:
    assert choose_evenly(3) == [0, 1, 2]
    assert choose_evenly(100, 4) == [12, 37, 62, 87]
    assert choose_evenly(0) == []


def test_draws_every_box_and_the_truth_where_known(tmp_path: Path) -> None:
    Image.new("RGB", (120, 80), "#808080").save(tmp_path / "a.png")
    samples = [Sample(tmp_path / "a.png", f"train/x/{n}.png", None) for n in range(2)]
    row = BoxRow("train/x/0.png", Box(0, 0, 80, 80), Box(30, 20, 90, 60), Box(40, 30, 70, 50), 0.85, Frame(120, 80))
    plain = draw_box_sheet(samples[:1], [row], {}, title="boxes")
    scored = draw_box_sheet(samples[:1], [row], {row.path: Box(10, 10, 110, 70)}, title="boxes")
    wanted = {ImageColor.getrgb(pen.colour) for pen in PENS}
    assert wanted <= colours(plain) and ImageColor.getrgb(TRUTH.colour) not in colours(plain)
    assert wanted | {ImageColor.getrgb(TRUTH.colour)} <= colours(scored)


def test_groups_follow_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (120, 80), "#808080").save(tmp_path / "a.png")
    samples = [Sample(tmp_path / "a.png", f"train/x/{n}.png", None) for n in range(3)]
    box, notes = Box(0, 0, 80, 80), []
    rows = [BoxRow(sample.key, box, box, box, 0.85, Frame(120, 80), member=Membership(group, 0.25))
            for sample, group in zip(samples, (1, 0, 1))]
    monkeypatch.setattr("DDT.sheet.caption", lambda photo, text, letters: notes.append(text) or photo)
    draw_box_sheet(samples, rows, {rows[1].path: box}, title="boxes")
    assert notes == ["1.png\ngroup 1 (0.25) · IoU 1.00 / 1.00 / 1.00", "0.png\ngroup 2 (0.25)", "2.png\ngroup 2 (0.25)"]
    notes.clear()
    draw_box_sheet(samples, [*rows[:2], replace(rows[2], empty=True)], {row.path: box for row in rows}, title="boxes")
    assert notes[-1] == "2.png\ngroup 2 (0.25) · no mask"
    notes.clear()
    draw_box_sheet(samples[1:2], rows[1:2], {}, title="boxes")
    assert notes == ["1.png\nx"], "where all are of one group, it is not told"


@pytest.mark.parametrize("box", [Box(0, 0, 1, 1), Box(39, 0, 40, 2), Box(0, 1.2, 40, 2), Box(20, 1, 21, 2)])
def test_boxes_of_a_pixel_and_photos_of_a_few_rows_are_drawn(box: Box) -> None:
    photo = Image.new("RGB", (40, 2))
    corners = outline_box(box, PENS[0], 1.0, (39, 1))
    assert 0 <= corners[0] <= corners[2] <= 39 and 0 <= corners[1] <= corners[3] <= 1
    draw_box(ImageDraw.Draw(photo), corners, "#ffffff", PENS[0].width)


def test_shortens_to_a_width() -> None:
    text = shorten_to_width("A very long class name that fits nowhere", 14, 100, "…")
    assert text.endswith("…") and measure_text(text, 14) <= 100
    assert shorten_to_width("short", 14, 100, "…") == "short"
