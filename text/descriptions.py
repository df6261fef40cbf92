"""Class descriptions: read from a CSV, filled into a template, encoded by CLIP's text tower."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.class_names import name_key
from models.teachers.clip import ClipTeacher
from runtime.errors import ConfigError, DataError
from text.options import PLAIN

COLUMNS = ["class name", "description"]
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^a-z])")


@dataclass(frozen=True)
class Description:
    """One class: its name and what the eye can check."""

    name: str
    text: str


def read_descriptions(path: Path) -> list[Description]:
    """The rows of a `class name,description` file in UTF-8, in its order.

    A byte-order mark and blank lines are passed over (`describe_oddities` tells of them). Raises DataError naming every
    bad line.
    """
    lines = _read_lines(path)
    if not lines or [cell.strip().lower() for cell in lines[0][1]] != COLUMNS:
        raise DataError(f"{path}: the first line must be `{','.join(COLUMNS)}`")
    rows = [(number, cells) for number, cells in lines[1:] if any(cell.strip() for cell in cells)]
    keys = [name_key(cells[0]) for _, cells in rows]
    bad = [f"line {number} has {len(cells)} cells, not 2 (a text with a comma needs quotes)"
           for number, cells in rows if len(cells) != 2]
    bad += [f"line {number} has an empty cell" for number, cells in rows if not all(cell.strip() for cell in cells)]
    bad += [f"line {number} repeats {cells[0]!r}" for at, (number, cells) in enumerate(rows) if keys[at] in keys[:at]]
    if bad or not rows:
        raise DataError(f"{path}: {'; '.join(bad) or 'no rows'}")
    return [Description(_squeeze(name), _squeeze(text)) for _, (name, text) in rows]


def describe_oddities(path: Path) -> list[str]:
    """What `read_descriptions` passes over in a file that it accepts, for a note to the user."""
    blank = [str(number) for number, cells in _read_lines(path) if not any(cell.strip() for cell in cells)]
    notes = ["its byte-order mark"] * path.read_bytes().startswith(b"\xef\xbb\xbf")
    return notes + [f"blank lines {', '.join(blank)}"] * bool(blank)


def fill_template(template: str, name: str, text: str) -> str:
    """`template` with {name} and {description} filled in; raises ConfigError for any other field."""
    try:
        return template.format(name=name, description=text)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(f"--template {template!r}: only {{name}} and {{description}} can stand in braces") from error


def encode_descriptions(
    teacher: ClipTeacher, rows: list[Description], template: str = PLAIN, aggregate: str = "whole"
) -> Tensor:
    """Unit rows float32 [C, D]. "whole" encodes each filled template, cut where CLIP stops reading.

    "sentences" fills the template with each sentence apart, averages their unit rows and normalises again; a sentence
    that is still too long is halved, so that nothing is cut.
    """
    if aggregate == "whole":
        return teacher.encode_text([fill_template(template, row.name, row.text) for row in rows])
    parts = [split_sentences(row, template, teacher) for row in rows]
    encoded = teacher.encode_text([part for some in parts for part in some])
    return torch.stack([F.normalize(some.mean(dim=0), dim=0) for some in encoded.split([len(some) for some in parts])])


def split_sentences(row: Description, template: str, teacher: ClipTeacher) -> list[str]:
    """A class's filled templates, one a sentence, each within the teacher's context; one where no text is filled in."""
    def fill(part: str) -> str:
        return fill_template(template, row.name, part)

    def fits(part: str) -> bool:
        return teacher.count_tokens([fill(part)])[0] <= teacher.context

    sentences = [part for sentence in SENTENCE_END.split(row.text) for part in _halve(sentence, fits)]
    return list(dict.fromkeys(map(fill, sentences)))


def read_so_far(text: str, teacher: ClipTeacher) -> str:
    """The leading words of a text that the teacher reads before its context is full."""
    words = text.split()
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        fits = teacher.count_tokens([" ".join(words[:middle])])[0] <= teacher.context
        low, high = (middle, high) if fits else (low, middle - 1)
    return " ".join(words[:low])


def _read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers (where the record ends) and cells; raises DataError when the file is no CSV in UTF-8."""
    if not path.is_file():
        raise DataError(f"{path}: no such file of descriptions")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, cells) for cells in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it again as CSV UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: a quote is not closed, or stands within an unquoted end "
                        f"({error}); write a quote within a text twice") from error


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _halve(text: str, fits: Callable[[str], bool]) -> list[str]:
    words = text.split()
    if len(words) < 2 or fits(text):
        return [text]
    middle = len(words) // 2
    return [*_halve(" ".join(words[:middle]), fits), *_halve(" ".join(words[middle:]), fits)]
