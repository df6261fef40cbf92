"""A whole step of PIM (ResNet-50, four levels, K = 200) or of distillation against its plain transcription, or parts.

    python -m benchmarks.finetune_step --quick                                  # the step of PIM
    python -m benchmarks.finetune_step --quick --part ranking                   # its selector's ranking, or gather
    python -m benchmarks.finetune_step --quick --method distill
    python -m benchmarks.finetune_step --quick --method distill --teacher-view clean
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import distill_step
from benchmarks.timing import BenchmarkOptions, parse_benchmark
from runtime.options import flag
from runtime.ranges import BATCH, COUNT, SIDE, WIDTH


@dataclass(frozen=True, kw_only=True)
class PimStepOptions(BenchmarkOptions):
    """Which part, the network, and the images of a step."""

    method: str = flag("pim", ("pim", "distill"), "distill has flags of its own")
    part: str = flag("step", ("step", "ranking", "gather"), "the step, or a part of the selector")
    batch: int = flag(None, BATCH, "images (default 16; 4 for the step with --quick)")
    size: int = flag(224, SIDE, "pixels of a side")
    backbone: str = flag("resnet50", None, "a ResNet that torchvision and timm know")
    fpn_size: int = flag(512, WIDTH, "width of the pyramid")
    classes: int = flag(200, WIDTH, "numbers at a position")
    selects: tuple[int, ...] = flag((32,) * 4, COUNT, "positions kept by level", nargs="*")
    positions: tuple[int, ...] = flag((3136, 784, 196, 49), COUNT, "of the levels, for a part alone", nargs="*")
    repeats: int = flag(20, COUNT, "times that a part is done in a round")


def parse(argv: Sequence[str] | None = None) -> PimStepOptions:
    """The options, with the sizes that --quick makes smaller."""
    options = parse_benchmark(__doc__, PimStepOptions, argv)
    return replace(options, batch=options.batch or (4 if options.quick and options.part == "step" else 16))


def is_of_distill(words: Sequence[str]) -> bool:
    """Whether the step of distillation is asked for."""
    peek = argparse.ArgumentParser(add_help=False)
    peek.add_argument("--method", default="pim")
    return peek.parse_known_args(words)[0].method == "distill"


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    words = sys.argv[1:] if argv is None else list(argv)
    if is_of_distill(words):
        return distill_step.main(words)
    options = parse(words)
    from benchmarks.timed.finetune_step import time_pim  # after the flags: --help does without torch

    return time_pim(options)


if __name__ == "__main__":
    sys.exit(main())
