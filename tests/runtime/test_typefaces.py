"""Text in pictures: typefaces by sign, and a word about signs that none has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageDraw

from runtime import typefaces
from runtime.typefaces import draw_text, find_families, make_drawable, measure_text, shorten_to_width

CROW = "\u70cf"


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """DejaVu Sans alone, and nothing said so far."""
    dejavu = typefaces.list_typefaces()[:1]
    monkeypatch.setattr(typefaces, "list_typefaces", lambda: dejavu)
    monkeypatch.setattr(typefaces, "TOLD", set())
    typefaces.find_typeface.cache_clear()
    yield
    typefaces.find_typeface.cache_clear()


def install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typeface that has CROW, a black square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "crow"])
    builder.setupCharacterMap({ord(CROW): "crow"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "crow": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "crow": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=-200)
    builder.setupNameTable({"familyName": "Crow Sans", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    found = (*typefaces.list_typefaces(), str(path))
    monkeypatch.setattr(typefaces, "list_typefaces", lambda: found)
    typefaces.find_typeface.cache_clear()


def ink(text: str) -> np.ndarray:
    """What `draw_text` draws, 0..255 [30, 200]."""
    picture = Image.new("L", (200, 30))
    draw_text(ImageDraw.Draw(picture), (2, 2), text, 14, 255)
    return np.asarray(picture)


def test_a_sign_that_no_typeface_has_is_spelled_with_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_drawable(f"{CROW} crow") == "\\u70cf crow" == make_drawable(f"{CROW} crow")
    said = capsys.readouterr().err
    assert said.count("note:") == 1 and "no typeface" in said and "70CF" in said
    assert np.array_equal(ink(CROW), ink("\\u70cf")) and find_families(CROW) == ["DejaVu Sans"]


def test_an_installed_typeface_draws_its_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path / "crow.ttf", monkeypatch)
    assert make_drawable(f"ž{CROW}") == f"ž{CROW}" and find_families(f"ž{CROW}") == ["DejaVu Sans", "Crow Sans"]
    assert measure_text(f"ž{CROW}", 14) == pytest.approx(measure_text("ž", 14) + 14, abs=1)
    assert ink(CROW)[:, :20].mean() > 50 and not capsys.readouterr().err


@pytest.mark.parametrize("text", ["Štěpán žába", "ворона", "κοράκι", "غراب", "→ ½ € —"])
def test_dejavu_has_the_scripts_of_europe_and_more(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_drawable(text) == text and ink(text).any() and not capsys.readouterr().err


def test_plain_text_looks_as_pillow_draws_it() -> None:
    from PIL import ImageFont

    picture = Image.new("L", (200, 60))
    ImageDraw.Draw(picture).text((2, 2), "Crow\nand jay", fill=255, font=ImageFont.load_default(14), spacing=1)
    ours = Image.new("L", (200, 60))
    draw_text(ImageDraw.Draw(ours), (2, 2), "Crow\nand jay", 14, 255, spacing=1)
    assert np.array_equal(np.asarray(ours), np.asarray(picture))


def test_joiners_and_odd_bytes_leave_no_box() -> None:
    assert make_drawable("a\u2060\ufe0fb\n\udce9") == "ab\\x0A\\xE9" or "\u2060" in make_drawable("a\u2060b")
    assert shorten_to_width("one\nline", 14, 500) == "one\\x0Aline"


def test_shortened_to_a_width() -> None:
    text = shorten_to_width("a name that is much too long", 12, 80)
    assert text.endswith("...") and measure_text(text, 12) <= 80
    assert len(shorten_to_width("x" * 100_000, 12, 80)) < 40
