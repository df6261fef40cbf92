"""Metrics of embeddings at the size of Stanford Online Products' test classes (60,502 x 128, 11,316 classes).

    python -m benchmarks.evaluate --quick        a tenth of the images and classes

Ours gives every metric of docs/metrics.md; the plain way gives Recall@1, 10, 100, 1000 and MAP@R, a query at a time.
The first ratio is without clusters, the last line with k-means, which is the same one for both. PEAK is that of ours;
with clusters it also covers the plain search, which needs less.
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
from runtime.ranges import COUNT_OR_0


@dataclass(frozen=True, kw_only=True)
class EvaluateTimingOptions(BenchmarkOptions):
    """How many embeddings."""

    count: int = flag(0, COUNT_OR_0, "images; 0 = 60,502, --quick a tenth")


def parse(argv: Sequence[str] | None = None) -> EvaluateTimingOptions:
    """The options, with the sizes that --quick makes smaller."""
    return parse_benchmark(__doc__, EvaluateTimingOptions, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    from benchmarks.timed.evaluate import time_evaluation  # after the flags: --help does without torch

    return time_evaluation(options)


if __name__ == "__main__":
    sys.exit(main())
