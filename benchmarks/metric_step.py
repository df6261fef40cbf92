"""A whole step of OBD-SD (ResNet-50, 112 images, PSD + OBDP), or its loss alone, against the plain transcription.

    python -m benchmarks.metric_step --quick
    python -m benchmarks.metric_step --quick --part loss
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
from runtime.ranges import BATCH, COUNT, SIDE


@dataclass(frozen=True, kw_only=True)
class MetricStepOptions(BenchmarkOptions):
    """Which part, and the images of a step."""

    part: str = flag("step", ("step", "loss"), "the whole step, or the loss from embeddings on")
    batch: int = flag(None, BATCH, "images per step, two of a class (default 112; 8 for the step with --quick)")
    size: int = flag(224, SIDE, "pixels of a side")
    student: str = flag("resnet50", None, "a ResNet that torchvision and timm know")
    repeats: int = flag(20, COUNT, "losses in a round of --part loss")


def parse(argv: Sequence[str] | None = None) -> MetricStepOptions:
    """The options, with the sizes that --quick makes smaller."""
    options = parse_benchmark(__doc__, MetricStepOptions, argv)
    return replace(options, batch=options.batch or (8 if options.quick and options.part == "step" else 112))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    from benchmarks.timed.metric_step import time_obdsd  # after the flags: --help does without torch

    return time_obdsd(options)


if __name__ == "__main__":
    sys.exit(main())
