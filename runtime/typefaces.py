"""Text in pictures, in any script that the machine has a typeface for; what it has none for is spelled, with a note.

DejaVu Sans comes with matplotlib. Other scripts are drawn by typefaces that are installed, found once for every sign.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageDraw, ImageFont

from runtime.names.spelling import show_name

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

REMEDY = "install a typeface that has them (fonts-noto on Debian and Ubuntu), and draw again"
INVISIBLE = ("Cf", "Mn", "Me")  # joiners, variation selectors, marks: without a glyph they are left out
TOLD: set[str] = set()  # signs that a word was said about


@lru_cache(maxsize=1)
def list_typefaces() -> tuple[str, ...]:
    """Files of typefaces: DejaVu Sans, then the upright ones of the system, sans-serif before others."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    own = Path(matplotlib.get_data_path())
    system = [entry for entry in fontManager.ttflist if own not in Path(entry.fname).parents
              and entry.style == "normal" and "LastResort" not in entry.fname]  # which has a box for every sign
    ranked = sorted(system, key=lambda entry: ("Sans" not in entry.name, abs(int(entry.weight) - 400), entry.fname))
    return (str(own / "fonts" / "ttf" / "DejaVuSans.ttf"), *dict.fromkeys(entry.fname for entry in ranked))


@cache
def open_typeface(path: str) -> FT2Font | None:
    """A typeface's table of signs, None for a file that cannot be drawn from at any size."""
    from matplotlib.ft2font import FT2Font

    try:
        found = FT2Font(path)
    except (OSError, RuntimeError):
        return None
    return found if found.scalable else None


@cache
def find_typeface(sign: str) -> str | None:
    """The file of the first typeface that has a sign, None where the machine has none."""
    return next((path for path in list_typefaces()
                 if (table := open_typeface(path)) is not None and table.get_char_index(ord(sign))), None)


def make_drawable(text: str) -> str:
    """The text on one line, with \\u4e2d in place of a sign that no typeface here has; says so once for each sign."""
    shown = show_name(text)
    if shown.isascii():
        return shown
    missing = [sign for sign in dict.fromkeys(shown) if not sign.isascii() and find_typeface(sign) is None]
    _tell_missing([sign for sign in missing if unicodedata.category(sign) not in INVISIBLE])
    return "".join(_stand_in(sign) if sign in missing else sign for sign in shown)


def _stand_in(sign: str) -> str:
    return "" if unicodedata.category(sign) in INVISIBLE else sign.encode("ascii", "backslashreplace").decode()


def _tell_missing(signs: list[str]) -> None:
    new = [sign for sign in signs if sign not in TOLD]
    if new:
        TOLD.update(new)
        shown = ", ".join(f"{_stand_in(sign)} ({unicodedata.name(sign, 'unnamed')})" for sign in new[:3])
        more = f" and {len(new) - 3} more" if len(new) > 3 else ""
        print(f"note: no typeface on this machine has {shown}{more}; pictures spell them. {REMEDY}", file=sys.stderr)


def find_families(text: str) -> list[str]:
    """Names of the families that matplotlib draws a text with, DejaVu Sans first."""
    signs = {sign for sign in text if not sign.isascii()}
    paths = {path for sign in signs if (path := find_typeface(sign)) is not None}
    ordered = [path for path in list_typefaces()[1:] if path in paths] if paths else []
    return ["DejaVu Sans", *(table.family_name for path in ordered if (table := open_typeface(path)) is not None)]


@cache
def load_font(path: str | None, size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own typeface, or that of a file, at a size in pixels."""
    font = ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # only without a size is Pillow's own a bitmap
    return font


@cache
def is_in_own(sign: str) -> bool:
    """Whether Pillow's own typeface has a sign: it has Latin letters and little else."""
    if sign.isascii():
        return True
    own = load_font(None, 24)
    return bytes(own.getmask(sign)) != bytes(own.getmask("\uffff"))


def split_runs(text: str, size: int) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
    """Parts of a drawable line, each with the font that has all of its signs: Pillow's own where it has them all."""
    if all(map(is_in_own, text)):
        yield text, load_font(None, size)
        return
    paths = [find_typeface(sign) for sign in text]
    base = list_typefaces()[0]
    for place, sign in enumerate(text):  # spaces and joiners stay with what they stand in
        if place and (sign == " " or unicodedata.category(sign) in INVISIBLE):
            paths[place] = paths[place - 1]
    for path, part in groupby(zip(paths, text), key=lambda pair: pair[0] or base):
        yield "".join(sign for _, sign in part), load_font(path, size)


def measure_text(line: str, size: int) -> float:
    """The width in pixels of one line."""
    return sum(font.getlength(part) for part, font in split_runs(make_drawable(line), size))


def shorten_to_width(line: str, size: int, width: float, end: str = "...") -> str:
    """The line on one line indeed, cut to a width in pixels; what is left of a cut one ends in `end`."""
    line = make_drawable(line)
    if measure_text(line, size) <= width:
        return line
    kept = line[: int(width)]  # no sign is narrower than a pixel
    while kept and measure_text(kept + end, size) > width:
        kept = kept[:-1]
    return kept.rstrip(" .…") + end


def draw_text(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, fill: str | tuple[int, ...],
    spacing: int = 4,
) -> None:
    """Lines of text with their left top at `place`; `spacing` pixels lie between them."""
    left, top = place
    for line in text.split("\n"):
        runs = list(split_runs(make_drawable(line), size))
        base = max((font.getmetrics()[0] for _, font in runs), default=size)
        x = left
        for part, font in runs:
            draw.text((x, top + base), part, fill=fill, font=font, anchor="ls")
            x += font.getlength(part)
        top += line_height(size) + spacing


@cache
def line_height(size: int) -> int:
    """Pixels from one line's top to the next without spacing, as Pillow has it for its own typeface."""
    box = load_font(None, size).getbbox("A")
    return int(box[3])
