"""A 100-epoch linear probe on features taken once against one that runs the network every epoch.

The plain side is timed over one epoch and multiplied. Ours is the whole of it: train and test features, six learning
rates compared on held-out images, the final classifier and its test.

    python -m benchmarks.linear --quick
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.timing import BenchmarkOptions, parse_benchmark
from runtime.options import flag
from runtime.ranges import BATCH, COUNT, EPOCHS, SIDE, WIDTH


@dataclass(frozen=True, kw_only=True)
class LinearTimingOptions(BenchmarkOptions):
    """How many photographs, the network, and the probe."""

    count: int = flag(None, COUNT, "photographs of each split (default 256, 16 with --quick)")
    batch: int = flag(64, BATCH, "images of a forward pass")
    size: int = flag(224, SIDE, "pixels of a side")
    arch: str = flag("resnet50", None, "timm name")
    classes: int = flag(200, WIDTH, "width of the classifiers")
    epochs: int = flag(100, EPOCHS, "epochs of the probe")


def parse(argv: Sequence[str] | None = None) -> LinearTimingOptions:
    """The options, with the sizes that --quick makes smaller."""
    options = parse_benchmark(__doc__, LinearTimingOptions, argv)
    return replace(options, count=options.count or (16 if options.quick else 256))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    from benchmarks.timed.linear import time_probes  # after the flags: --help does without torch

    return time_probes(options)


if __name__ == "__main__":
    sys.exit(main())
