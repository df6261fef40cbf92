"""Exact retrieval scores of 5,794 x 2,048 features (CUB's test split in ResNet-50's width) against a query at a time.

    python -m benchmarks.retrieval --quick
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
from runtime.ranges import COUNT, WIDTH


@dataclass(frozen=True, kw_only=True)
class RetrievalTimingOptions(BenchmarkOptions):
    """The table of features."""

    count: int = flag(5794, COUNT, "images")
    width: int = flag(2048, WIDTH, "numbers in a feature")


def parse(argv: Sequence[str] | None = None) -> RetrievalTimingOptions:
    """The options, with the sizes that --quick makes smaller."""
    return parse_benchmark(__doc__, RetrievalTimingOptions, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    from benchmarks.timed.retrieval import time_retrieval  # after the flags: --help does without torch

    return time_retrieval(options)


if __name__ == "__main__":
    sys.exit(main())
