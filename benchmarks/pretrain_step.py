"""A whole step of LEAD (ResNet-50, live or remembered ViT-B/16, two queues of 65,536) against its plain transcription.

    python -m benchmarks.pretrain_step --quick
    python -m benchmarks.pretrain_step --quick --teacher-view clean
    python -m benchmarks.pretrain_step --quick --method lcr-moco        # also lcr-byol, byol
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import lcr_step
from benchmarks.timing import BenchmarkOptions, parse_benchmark
from runtime.options import flag
from runtime.ranges import BATCH, SIDE, WIDTH, whole_number


@dataclass(frozen=True, kw_only=True)
class LeadStepOptions(BenchmarkOptions):
    """Student, teacher, and the images of a step."""

    method: str = flag("lead", ("lead", *lcr_step.METHODS), "lcr-* and byol have flags of their own")
    teacher_view: str = flag("live", ("live", "clean"), "clean: ours remembers the teacher's answers")
    batch: int = flag(None, BATCH, "images per step (default 16, 2 with --quick)")
    size: int = flag(224, SIDE, "pixels of a side")
    queue: int = flag(65536, whole_number(1, 2**24), "keys in each queue")
    student: str = flag("resnet50", None, "a ResNet that torchvision and timm know")
    teacher: str = flag("vit_base_patch16_clip_224", None, "timm name")
    dim: int = flag(512, WIDTH, "width of head and prototypes")
    classes: int = flag(200, WIDTH, "prototypes")


def parse(argv: Sequence[str] | None = None) -> LeadStepOptions:
    """The options, with the sizes that --quick makes smaller."""
    options = parse_benchmark(__doc__, LeadStepOptions, argv)
    return replace(options, batch=options.batch or (2 if options.quick else 16))


def is_of_lcr(words: Sequence[str]) -> bool:
    """Whether another method than LEAD is asked for."""
    peek = argparse.ArgumentParser(add_help=False)
    peek.add_argument("--method", default="lead")
    return peek.parse_known_args(words)[0].method in lcr_step.METHODS


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    words = sys.argv[1:] if argv is None else list(argv)
    if is_of_lcr(words):
        return lcr_step.main(words)
    options = parse(words)
    from benchmarks.timed.pretrain_step import time_lead  # after the flags: --help does without torch

    return time_lead(options)


if __name__ == "__main__":
    sys.exit(main())
