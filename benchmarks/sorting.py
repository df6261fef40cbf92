"""What follows one more name among 5,000 pictures: names for all, what to ask next, what it would bring.

    python -m benchmarks.sorting --quick

Ours is the desk that keeps what it knows of the pictures; the plain way sorts them anew, as a command that is started
again for every round of names does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.timing import BenchmarkOptions, parse_benchmark
from runtime.options import flag
from runtime.ranges import COUNT, WIDTH, whole_number


@dataclass(frozen=True, kw_only=True)
class SortingTimingOptions(BenchmarkOptions):
    """The pictures, and how far their sorting is."""

    count: int = flag(5000, COUNT, "pictures")
    width: int = flag(1280, WIDTH, "numbers in a feature")
    kinds: int = flag(30, whole_number(2), "kinds of things")
    names: int = flag(100, COUNT, "names given so far")


def parse(argv: Sequence[str] | None = None) -> SortingTimingOptions:
    """The options, with the sizes that --quick makes smaller."""
    return parse_benchmark(__doc__, SortingTimingOptions, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    from benchmarks.timed.sorting import time_sorting  # after the flags: --help does without torch

    return time_sorting(options)


if __name__ == "__main__":
    sys.exit(main())
