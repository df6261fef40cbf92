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

    Raises DataError when it is not text or lacks a required column.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = next((mark for mark in ",;\t" if mark in header), ",")
            reader = csv.DictReader(file, delimiter=delimiter, restval="")
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [(reader.line_num, _strip(row)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); save it again as such") from error
    absent = [name for name in required if name not in reader.fieldnames]
    if absent:
        raise DataError(f"{path}: the first line must name the columns; there is no {', '.join(absent)}")
    return [(line, row) for line, row in rows if any(row.values())]


def _strip(row: dict[str | None, str | list[str]]) -> dict[str, str]:
    """A row without outer spaces; cells beyond the header are dropped."""
    return {name: cell.strip() for name, cell in row.items() if name is not None and isinstance(cell, str)}


def read_mat(path: Path, key: str) -> np.ndarray:
    """One variable of a MATLAB file as a row of values or structs; raises DataError when it is not there."""
    from scipy.io import loadmat  # late: few data sets come with such files
    from scipy.io.matlab import MatReadError

    try:
        return np.atleast_1d(loadmat(path, squeeze_me=True, chars_as_strings=True)[key]).ravel()
    except (KeyError, ValueError, TypeError, OSError, RuntimeError, MatReadError) as error:
        raise DataError(f"{path}: not the list it should be ({error!r}); unpack it again") from error
