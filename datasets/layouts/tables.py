"""The tables that data sets come with: lists of words, CSV files, variables of MATLAB files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.layouts.listing import show_first
from runtime.errors import DataError

OPTIONAL = ("label", "split")  # what lists may say of an image besides
SEPARATOR = re.compile(r"sep=.\s*", re.IGNORECASE)  # Excel's word on what separates the cells


def read_table(path: Path) -> dict[str, str]:
    """A list whose lines are `<first word> <rest>`, as CUB and FGVC-Aircraft use; raises DataError by line number."""
    table, problems = {}, []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        first, _, rest = line.strip().partition(" ")
        if first and rest:
            table[first] = rest.strip()
        elif first:
            problems.append(number)
    if problems:
        raise DataError(f"{path}: line {show_first(problems)} has one word instead of two; unpack the data set again")
    return table


def read_rows(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file (comma, semicolon or tab; BOM, quotes and blank lines are fine) with their line numbers.

    UTF-16, as Excel saves "Unicode text", is read where its byte order mark tells, and its line `sep=;` is passed over.
    Raises DataError when it is not text, lacks a required column or has one twice, has a quote that does not end, or
    lines of more cells than columns.
    """
    lines = read_lines(path)
    before = next((number for number, line in enumerate(lines) if line.strip() and not SEPARATOR.fullmatch(line)), 0)
    delimiter = next((mark for mark in ",;\t" if lines and mark in lines[before]), ",")
    reader = csv.DictReader(lines[before:], delimiter=delimiter, restval="", strict=True)
    rows: list[tuple[int, dict[str | None, str | list[str]]]] = []
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
        check_columns(path, reader.fieldnames, required)
        rows += ((before + reader.line_num, row) for row in reader)
    except csv.Error as error:
        last = before + 1 + (rows[-1][0] - before if rows else 1)
        raise DataError(f"{path}: the row that begins on line {last} cannot be read ({error}); close its quotes, and "
                        'write a quote within quotes twice ("")') from error
    long = [line for line, row in rows if any(cell.strip() for cell in row.get(None, ()))]
    if long:
        raise DataError(f"{path}: line {show_first(long)} has more cells than the first line has columns; quote cells "
                        f"that hold {delimiter!r}, or name all columns")
    return [(line, row) for line, row in ((line, _strip(row)) for line, row in rows) if any(row.values())]


def read_lines(path: Path) -> list[str]:
    """A text file's lines with their ends; raises DataError for one that is no text."""
    try:
        with open(path, encoding=find_encoding(path), newline="") as file:
            text = file.read()
    except UnicodeError as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); save it again as such") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}: line {line} holds zero bytes, so that it is damaged or no CSV file in UTF-8; save it "
                        "again as such")
    return list(io.StringIO(text, newline=""))


def check_columns(path: Path, names: Sequence[str], required: Sequence[str]) -> None:
    """Raise DataError for required columns that are not there, and for names that two columns bear."""
    absent = [name for name in required if name not in names]
    if absent:
        raise DataError(f"{path}: the first line must name the columns; there is no {', '.join(absent)}, only "
                        f"{show_first([name for name in names if name]) or 'an empty line'}")
    double = [name for name in (*required, *OPTIONAL) if names.count(name) > 1]
    if double:
        raise DataError(f"{path}: several columns are named {show_first(double)}; give each a name of its own")


def find_encoding(path: Path) -> str:
    """UTF-16 for a file with its byte order mark, else UTF-8."""
    with open(path, "rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _strip(row: dict[str | None, str | list[str]]) -> dict[str, str]:
    """A row without outer spaces; cells beyond the header are dropped."""
    return {name: cell.strip() for name, cell in row.items() if name is not None and isinstance(cell, str)}


def read_mat(path: Path, key: str) -> np.ndarray:
    """One variable of a MATLAB file as a row of values or structs; raises DataError when it is not there."""
    from scipy.io import loadmat  # late: few data sets come with such files
    from scipy.io.matlab import MatReadError

    try:
        return np.atleast_1d(loadmat(path, squeeze_me=True, chars_as_strings=True)[key]).ravel()
    except (LookupError, ValueError, TypeError, OSError, RuntimeError, MatReadError) as error:
        raise DataError(f"{path}: not the list it should be ({error!r}); unpack it again") from error
