"""Sheets of thumbnails."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from datasets.files import Photo
from evaluation.atlas.sprites import COLUMNS, ROWS, TileFrame, draw_sprites

COLOURS = ["red", "lime", "blue", "white"]


def test_every_picture_lies_in_its_tile_with_its_shape() -> None:
    count = COLUMNS * ROWS + 3

    def open_photo(index: int, hint: int) -> Photo:
        assert hint == 40
        return Photo(Image.new("RGB", (80, 20) if index % 2 else (10, 10), COLOURS[index % 4]), 0.5 if index % 2 else 1.0)

    sprites = draw_sprites(count, open_photo, 40)
    sheets = [Image.open(io.BytesIO(sheet)) for sheet in sprites.sheets]
    assert [sheet.size for sheet in sheets] == [(40 * COLUMNS, 40 * ROWS), (40 * COLUMNS, 40)]
    assert sprites.frames[0] == TileFrame(40, 40, 10, 10) and sprites.frames[1] == TileFrame(40, 10, 160, 40)
    for index in (0, 1, 9, 63, 64, 66):
        sheet, place = divmod(index, COLUMNS * ROWS)
        pixel = sheets[sheet].getpixel((place % COLUMNS * 40 + 20, place // COLUMNS * 40 + 4))
        assert pixel == pytest.approx(Image.new("RGB", (1, 1), COLOURS[index % 4]).getpixel((0, 0)), abs=12)


def test_a_line_of_pixels_is_no_reason_to_stop() -> None:
    sprites = draw_sprites(1, lambda index, hint: Photo(Image.new("RGB", (1000, 1)), 1.0), 40)
    assert sprites.frames == [TileFrame(40, 1, 1000, 1)]
