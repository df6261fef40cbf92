"""The packages that the project asks for: what its requirements files admit, what is installed, what was tested."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

TESTED = "requirements-tested.txt"


@dataclass(frozen=True)
class Requirement:
    """A line of a requirements file; `oldest` is the release after >=, empty where any will do."""

    name: str
    oldest: str
    line: str


def read_requirements(listing: Path) -> list[Requirement]:
    """The packages of a requirements file, without comments, conditions and options."""
    lines = (line.split("#")[0].split(";")[0].strip() for line in listing.read_text(encoding="utf-8").splitlines())
    return [_read_line(line) for line in lines if line and not line.startswith("-")]


def read_tested(folder: Path) -> dict[str, str]:
    """Name -> the release that the tests last passed with, of the project in `folder`; {} where it has no such file."""
    listing = folder / TESTED
    if not listing.is_file():
        return {}
    return {one.name: one.line.partition("==")[2] for one in read_requirements(listing)}


def find_installed(name: str) -> str | None:
    """The installed release of a package, None where there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def list_missing(*names: str) -> list[str]:
    """A problem line for each package that is asked for and not installed."""
    return [f'{name} is not installed: pip install "{name}"' for name in names
            if find_installed(name.partition("[")[0]) is None]


def release_numbers(version: str) -> list[int]:
    """Its first three numbers, for comparing: "2.14.1+cpu" -> [2, 14, 1], "6.0" -> [6, 0, 0]."""
    numbers = [int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3]]
    return numbers + [0] * (3 - len(numbers))


def _read_line(line: str) -> Requirement:
    return Requirement(re.split(r"[=<>~!\[ ]", line)[0], line.partition(">=")[2].split(",")[0].strip(), line)
