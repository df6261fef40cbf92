"""The tables that data sets come with: lists of words, CSV files, variables of MATLAB files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.files import DataError
from datasets.listing import show


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
        raise DataError(f"{path}: line {show(problems)} has one word instead of two; unpack the data set again")
    return table


def read_rows(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file (comma, semicolon or tab; BOM, quotes and blank lines are fine) with their line numbers.

    UTF-16, as Excel saves "Unicode text", is read where its byte order mark tells. Raises DataError when it is not
    text, lacks a required column, or has lines of more cells than columns.
    """
    try:
        with open(path, encoding=find_encoding(path), newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = next((mark for mark in ",;\t" if mark in header), ",")
            reader = csv.DictReader(file, delimiter=delimiter, restval="")
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader]
            long = [line for line, row in rows if any(cell.strip() for cell in row.get(None, ()))]
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); save it again as such") from error
    absent = [name for name in required if name not in reader.fieldnames]
    if absent:
        raise DataError(f"{path}: the first line must name the columns; there is no {', '.join(absent)}, only "
                        f"{show([name for name in reader.fieldnames if name]) or 'an empty line'}")
    if long:
        raise DataError(f"{path}: line {show(long)} has more cells than the first line has columns; quote cells that "
                        f"hold {delimiter!r}, or name all columns")
    return [(line, row) for line, row in ((line, _strip(row)) for line, row in rows) if any(row.values())]


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
