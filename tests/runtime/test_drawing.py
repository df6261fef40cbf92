"""Sheets hold their pictures, captions and titles; boxes show on any photograph."""

from __future__ import annotations

import pytest
from PIL import Image, ImageColor, ImageDraw

from runtime.drawing import FAINT, INK, TITLE, caption, compose, draw_box, put_below, put_beside, write

RED, BLUE = (255, 0, 0), (0, 0, 255)
PAPER = (255, 255, 255)


def test_pictures_stand_beside_and_below_each_other() -> None:
    one, other = Image.new("RGB", (4, 3), RED), Image.new("RGB", (2, 5), BLUE)
    beside, below = put_beside([one, other], 1), put_below([one, other], 1)
    assert beside.size == (7, 5) and below.size == (4, 9)
    assert [beside.getpixel((x, 2)) for x in range(7)] == [RED] * 4 + [PAPER] + [BLUE] * 2
    assert [below.getpixel((1, y)) for y in range(9)] == [RED] * 3 + [PAPER] + [BLUE] * 5
    assert beside.getpixel((0, 4)) == below.getpixel((3, 8)) == PAPER


def test_captions_are_cut_to_their_picture_and_every_line_is_seen() -> None:
    picture = Image.new("RGB", (60, 10), RED)
    short, long, two = (caption(picture, text, 12) for text in ("a", "a word that is much too long", "a\nb"))
    assert short.size == long.size and short.width == 60 and two.height > short.height
    ink = [y for y in range(10, two.height) if any(two.getpixel((x, y)) != PAPER for x in range(60))]
    assert len(ink) > 12 and max(ink) < two.height - 1 and any(second > first + 1 for first, second in zip(ink, ink[1:]))
    assert write("word", 12, FAINT).width == write("word", 12, FAINT, 500).width > write("word", 12, FAINT, 20).width


def test_a_sheet_has_rows_a_title_and_a_legend() -> None:
    pictures = [Image.new("RGB", (50, 40), RED)] * 5
    plain = compose(pictures, 2, 6, "title", 14)
    assert plain.width == 6 + 2 * 56
    starts = [y for y in range(1, plain.height) if plain.getpixel((8, y)) == RED != plain.getpixel((8, y - 1))]
    assert len(starts) == 3 and starts[1] - starts[0] == 46 and plain.height == starts[2] + 46
    assert plain.getpixel((6 + 56, starts[2])) == PAPER  # the last row has one picture
    assert ImageColor.getrgb(INK) in {colour for _, colour in plain.crop((0, 0, plain.width, starts[0])).getcolors(9999)}
    legend = compose(pictures, 2, 6, "title", 14, Image.new("RGB", (20, 9), BLUE))
    assert legend.getpixel((7, legend.height - plain.height + starts[0] - 7)) == BLUE
    assert compose(pictures[:1], 2, 6, "a title of many words " * 20, 14).width in range(TITLE - 40, TITLE + 13)


@pytest.mark.parametrize("ground", ["#39d353", "#000000", "#ffffff"])
def test_a_box_shows_on_any_photograph(ground: str) -> None:
    photo = Image.new("RGB", (20, 20), ground)
    draw_box(ImageDraw.Draw(photo), (2, 3, 17, 18), "#39d353", 2)
    line = [photo.getpixel((x, 10)) for x in range(1, 8)]
    green, black, around = (57, 211, 83), (0, 0, 0), ImageColor.getrgb(ground)
    assert line == [around, black, green, green, black, around, around]
    draw_box(ImageDraw.Draw(photo), (7, 7, 9, 9), "#39d353", 1)
    assert photo.getpixel((8, 8)) == green and photo.getpixel((7, 8)) == photo.getpixel((9, 8)) == black
    draw_box(ImageDraw.Draw(photo), (5, 5, 5, 5), "#39d353", 2)  # of one pixel
    assert photo.getpixel((5, 5)) == black
