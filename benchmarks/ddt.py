"""Fit and crop with ResNet-50 at 448 pixels: one pass an image, against six at batch 1 and a PCA over all descriptors.

    python -m benchmarks.ddt --quick
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.timing import BenchmarkOptions, parse_benchmark
from runtime.options import flag
from runtime.ranges import BATCH, COUNT, SIDE


@dataclass(frozen=True, kw_only=True)
class DdtTimingOptions(BenchmarkOptions):
    """How many photographs, and through which network; `peak_of`: only tell the memory that so many need."""

    count: int = flag(None, COUNT, "photographs (default 64, 3 with --quick)")
    batch: int = flag(None, BATCH, "images of a forward pass of ours (default 16, 3 with --quick)")
    size: int = flag(448, SIDE, "pixels of a side")
    arch: str = flag("resnet50", None, "timm name")
    peak_of: int | None = flag(None, COUNT, argparse.SUPPRESS)


def parse(argv: Sequence[str] | None = None) -> DdtTimingOptions:
    """The options, with the sizes that --quick makes smaller."""
    options = parse_benchmark(__doc__, DdtTimingOptions, argv)
    return replace(options, count=options.count or (3 if options.quick else 64),
                   batch=options.batch or (3 if options.quick else 16))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    from benchmarks.timed.ddt import time_ddt  # after the flags: --help does without torch

    return time_ddt(options)


if __name__ == "__main__":
    sys.exit(main())
