"""Which archives a place means: one, those that a pattern in braces names, those of a list, or those in a folder."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from datasets.tars.member import Tar
from runtime.errors import DataError

MOST = 1_000_000  # names that a pattern may mean
COUNTED = re.compile(r"(\d+)\.\.(\d+)")
SUFFIX = ".tar"


def is_tar_pattern(place: str | Path) -> bool:
    """Whether a place is written with braces for several archives, and is no file or folder of that name."""
    text = os.fspath(place)
    return "{" in text and text.lower().endswith((SUFFIX, "}")) and SUFFIX in text.lower() and not os.path.exists(text)


def place_exists(place: str | Path) -> bool:
    """Whether a data set's place is there; of a pattern, any of its archives."""
    names = expand_braces(os.fspath(place)) if is_tar_pattern(place) else [place]
    return any(map(os.path.exists, names))


def find_tars(place: Path) -> list[Path]:
    """The archives that a pattern, a list of such, or an archive's own name means; [] for all other places.

    Raises DataError that names archives which are not there, or come twice.
    """
    if is_tar_pattern(place):
        return need_tars(str(place), list(map(Path, expand_braces(os.fspath(place)))))
    if place.is_file() and place.suffix.lower() == SUFFIX:
        return [place]
    return need_tars(str(place), read_tar_list(place)) if is_tar_list(place) else []


def is_tar_list(path: Path) -> bool:
    """Whether a text file lists archives: its first line that says something ends as one does."""
    if path.suffix.lower() == ".csv" or not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(1 << 16).decode("utf-8-sig", "replace")
    return bool(lines := _list_lines(head)) and lines[0].lower().endswith((SUFFIX, "}"))


def read_tar_list(path: Path) -> list[Path]:
    """The archives of a list: one a line, or a pattern of several, from the list's own folder on; # begins a remark.

    Raises DataError for lines that name no archive.
    """
    try:
        lines = _list_lines(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8 (byte {error.start}); save it again as one") from error
    wrong = [line for line in lines if not line.lower().endswith((SUFFIX, "}"))]
    if wrong:
        raise DataError(f"{path}: {len(wrong)} lines name no .tar ({', '.join(wrong[:3])}); keep to one archive, or a "
                        "pattern of archives, a line")
    return [path.parent / os.path.expanduser(name) for line in lines for name in expand_braces(line)]


def _list_lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def need_tars(place: str, paths: list[Path]) -> list[Path]:
    """The archives, each once; raises DataError for those that are not there, come twice, or are no .tar."""
    absent = [str(path) for path in paths if not path.is_file()]
    foreign = [str(path) for path in paths if path.suffix.lower() != SUFFIX]
    twice = sorted(str(path) for path, count in Counter(paths).items() if count > 1)
    for names, what in ((absent, "archives are not there; mend the pattern or the list"),
                        (foreign, "files are no .tar; unpack compressed ones to .tar"),
                        (twice, "archives are named twice; name each once")):
        if names:
            more = ", ..." if len(names) > 3 else ""
            raise DataError(f"{place}: {len(names)} of its {len(paths)} {what} ({', '.join(names[:3])}{more})")
    return paths


def look_at_tars(paths: list[Path]) -> list[Tar]:
    """The archives as they are now; raises DataError for one that may not be looked at."""
    try:
        return [Tar.look(path) for path in paths]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); fix its permissions") from error


def expand_braces(pattern: str) -> list[str]:
    """What a shell makes of braces: {a,b} and {000..099} (as many digits), also within one another.

    Raises DataError for more than a million names.
    """
    found: list[str] = []
    for name in _expand(pattern):
        found.append(name)
        if len(found) > MOST:
            raise too_many(pattern)
    return found


def too_many(pattern: str) -> DataError:
    """The error of a pattern that means more than anybody has."""
    return DataError(f"{pattern}: means more than {MOST:,} archives; mend its numbers")


def _expand(pattern: str) -> Iterator[str]:
    for start, end in _find_braces(pattern):
        head, inside = pattern[:start], pattern[start + 1 : end]
        choices = list(_count(inside)) if COUNTED.fullmatch(inside) else _split(inside)
        if len(choices) > 1 or COUNTED.fullmatch(inside):
            tails = expand_braces(pattern[end + 1 :])
            yield from (head + middle + tail for choice in choices for middle in _expand(choice) for tail in tails)
            return
    yield pattern


def _find_braces(text: str) -> Iterator[tuple[int, int]]:
    """Places of braces that belong together, the outer before the inner."""
    for start, sign in enumerate(text):
        depth = 0
        for end in range(start, len(text)) if sign == "{" else ():
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                yield start, end
                break


def _count(inside: str) -> Iterator[str]:
    """Numbers up or down, filled with zeros to the longer of both where one has any."""
    first, last = inside.split("..")
    if abs(int(first) - int(last)) >= MOST:
        raise too_many(f"{{{inside}}}")
    step = 1 if int(first) <= int(last) else -1
    filled = any(len(word) > 1 and word.startswith("0") for word in (first, last))
    width = max(len(first), len(last)) if filled else 0
    return (f"{number:0{width}d}" for number in range(int(first), int(last) + step, step))


def _split(inside: str) -> list[str]:
    """Parts between commas that stand in no further braces."""
    parts, depth = [""], 0
    for sign in inside:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts
