"""A whole step of distillation, live teacher or remembered, against its plain transcription; run through finetune_step.

python -m benchmarks.finetune_step --quick --method distill
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.timing import BenchmarkOptions, parse_benchmark
from runtime.options import flag
from runtime.ranges import BATCH, SIDE, WIDTH


@dataclass(frozen=True, kw_only=True)
class DistillStepOptions(BenchmarkOptions):
    """Student, teacher and the images of a step."""

    method: str = flag("distill", ("distill",), "see finetune_step")
    teacher_view: str = flag("live", ("live", "clean"), "clean: ours remembers the teacher's answers")
    batch: int = flag(None, BATCH, "images per step (default 16, 4 with --quick)")
    size: int = flag(224, SIDE, "pixels of a side")
    student: str = flag("deit_small_distilled_patch16_224", None, "timm name")
    teacher: str = flag("convnext_tiny", None, "timm name")
    classes: int = flag(200, WIDTH, "classes of both")


def parse(argv: Sequence[str] | None = None) -> DistillStepOptions:
    """The options, with the sizes that --quick makes smaller."""
    options = parse_benchmark(__doc__, DistillStepOptions, argv)
    return replace(options, batch=options.batch or (4 if options.quick else 16))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(argv)
    from benchmarks.timed.distill_step import time_distill  # after the flags: --help does without torch

    return time_distill(options)
