"""A whole step of BYOL or of LCR on either path against its plain transcription; run it through pretrain_step.

python -m benchmarks.pretrain_step --method lcr-moco --quick
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.timing import BenchmarkOptions, parse_benchmark
from runtime.options import flag
from runtime.ranges import BATCH, SIDE, whole_number
from runtime.words import boolean

METHODS = ("lcr-moco", "lcr-byol", "byol")


@dataclass(frozen=True, kw_only=True)
class LcrStepOptions(BenchmarkOptions):
    """Which system, and the images of a step."""

    method: str = flag(None, METHODS, "which system's step", required=True)
    batch: int = flag(None, BATCH, "images per step (default 16, 4 with --quick)")
    size: int = flag(224, SIDE, "pixels of a side")
    queue: int = flag(65536, whole_number(1, 2**24), "keys in each queue of lcr-moco")
    student: str = flag("resnet50", None, "a ResNet that torchvision and timm know")
    max_pool: bool = flag(True, boolean, "false: both sides leave it out, as the public BYOL path does")


def parse(argv: Sequence[str] | None = None) -> LcrStepOptions:
    """The options, with the sizes that --quick makes smaller."""
    options = parse_benchmark(__doc__, LcrStepOptions, argv)
    return replace(options, batch=options.batch or (4 if options.quick else 16))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    from benchmarks.timed.lcr_step import time_lcr  # after the flags: --help does without torch

    return time_lcr(options)
