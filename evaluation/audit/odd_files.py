"""Files that decode, and yet are unlike the rest of their folder: in format, size, shape or colour."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from datasets.suffixes import find_suffix
from evaluation.audit.pictures import FileFacts

SUFFIXES_OF = {"JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"), "PNG": (".png", ".apng"), "BMP": (".bmp",),
               "WEBP": (".webp",), "TIFF": (".tif", ".tiff"), "GIF": (".gif",), "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
               "AVIF": (".avif", ".avifs"), "HEIF": (".heic", ".heif", ".hif")}
RARE = 0.1  # what more pictures than this share have is no oddity
TINY = 64  # pixels of the shorter side, in a folder of larger pictures
LONG = 4.0  # longer side over shorter
BLANK, GREY = 3.0, 2.0  # grey levels: all one colour, no colour
TURNED = {2: "mirrored", 3: "by 180 degrees", 4: "upside down", 5: "mirrored and by 90 degrees", 6: "by 90 degrees",
          7: "mirrored and by 90 degrees", 8: "by 90 degrees"}
Remark = Callable[[FileFacts], str]


def list_oddities(names: Sequence[str], facts: Sequence[FileFacts]) -> list[list[str]]:
    """What is odd about each of the files that decode, in words, [] for nothing; broken ones have no facts to be odd.

    Formats, grey pictures among coloured ones, and pictures that EXIF turns are told where at most a tenth is so.
    """
    sound = [one for one in facts if one.fault is None]
    rare = [remark for remark in (_make_form_remark(sound), _tell_grey, _tell_turned)
            if 0 < sum(bool(remark(one)) for one in sound) <= max(RARE * len(sound), 1) < len(sound)]
    usual = statistics.median([min(one.width, one.height) for one in sound] or [0])
    tiny = max(usual / 4, min(TINY, usual / 2))
    return [[] if one.fault is not None else
            [text for text in (_tell_suffix(name, one), _tell_tiny(one, tiny), _tell_shape(one), _tell_blank(one),
                               "several frames, of which the first is read" if one.moving else "",
                               *(remark(one) for remark in rare)) if text]
            for name, one in zip(names, facts)]


def _make_form_remark(sound: Sequence[FileFacts]) -> Remark:
    """What names the format where it is not that of most files."""
    usual = Counter(one.form for one in sound).most_common(1)[0][0] if sound else ""
    return lambda one: f"{one.form} among {usual} files" if one.form and usual and one.form != usual else ""


def _tell_suffix(name: str, one: FileFacts) -> str:
    suffix = find_suffix(name)
    wrong = one.form in SUFFIXES_OF and suffix not in SUFFIXES_OF[one.form]
    return f"a {one.form} file that is called {suffix}" if wrong else ""


def _tell_tiny(one: FileFacts, least: float) -> str:
    return f"tiny: {one.width} x {one.height} pixels" if min(one.width, one.height) < least else ""


def _tell_shape(one: FileFacts) -> str:
    share = max(one.width, one.height) / min(one.width, one.height)
    shape = "wide as high" if one.width > one.height else "high as wide"
    return f"{share:.1f} times as {shape}" if share >= LONG else ""


def _tell_blank(one: FileFacts) -> str:
    return "all one colour" if one.contrast < BLANK and _is_plain(one) else ""


def _is_plain(one: FileFacts) -> bool:
    """Whether the small picture has no light or dark place: a bird far away in a grey sky has."""
    return float(one.small.max()) - float(one.small.min()) < 4 * BLANK


def _tell_grey(one: FileFacts) -> str:
    return "grey among coloured pictures" if one.colour < GREY and not _tell_blank(one) else ""


def _tell_turned(one: FileFacts) -> str:
    turn = TURNED.get(one.orientation)
    return f"turned by its EXIF ({turn}): programs that do not read that show it otherwise" if turn else ""
