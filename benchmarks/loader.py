"""Four normalised views of a JPEG, from one loader process: one decode here, two files and torchvision's recipe there.

    python -m benchmarks.loader --quick
    python -m benchmarks.loader --archives    # reading out of tar archives against reading the files
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.timing import BenchmarkOptions, parse_benchmark
from runtime.options import again, flag, switch
from runtime.ranges import COUNT


@dataclass(frozen=True, kw_only=True)
class LoaderTimingOptions(BenchmarkOptions):
    """How many photographs, and what is timed of them."""

    rounds: int = again(BenchmarkOptions, "rounds", 5)
    count: int = flag(None, COUNT, "photographs (default 256, 32 with --quick)")
    archives: bool = switch(False, "time our loader on tar archives against our loader on the same files")


def parse(argv: Sequence[str] | None = None) -> LoaderTimingOptions:
    """The options, with the sizes that --quick makes smaller."""
    options = parse_benchmark(__doc__, LoaderTimingOptions, argv)
    return replace(options, count=options.count or (32 if options.quick else 256))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    if options.archives:
        from benchmarks.timed.archives import time_archives

        return time_archives(options)
    from benchmarks.timed.loader import time_loaders  # after the flags: --help does without torch

    return time_loaders(options)


if __name__ == "__main__":
    sys.exit(main())
