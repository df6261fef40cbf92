"""What a step, a ranking and an index cost as the data grow: medians against the smallest size, all sizes taking turns.

    python -m benchmarks.costs.scaling
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.timing import BenchmarkOptions, Work, interleave, parse_benchmark, start_benchmark
from runtime.options import flag
from runtime.ranges import BATCH

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # of a processor, which decide how its products go


@dataclass(frozen=True, kw_only=True)
class ScalingOptions(BenchmarkOptions):
    """The images of a step."""

    batch: int = flag(8, BATCH, "images of a step")


def name_processor() -> str:
    """Model and the flags that matter; empty where the system does not tell."""
    place = Path("/proc/cpuinfo")
    if not place.exists():
        return ""
    lines = dict(line.split("\t", 1) for line in place.read_text().splitlines() if "\t" in line)
    told = {name.strip(): value.strip(": \t") for name, value in lines.items()}
    known = told.get("flags", "").split()
    return f"{told.get('model name', '?')}, of {', '.join(FLAGS)} it has {[name for name in FLAGS if name in known]}"


def make_contrast(options: ScalingOptions, *, size: int = 112, queue: int = 4096, batch: int | None = None) -> Work:
    """A step of MoCo with ResNet-18 as the trainer takes it."""
    import torch

    from benchmarks.steps import make_step
    from methods.moco import Moco, MocoOptions
    from models.backbones import build_backbone

    method = Moco(build_backbone("resnet18"), MocoOptions(queue_size=queue, size=size)).to(options.device).train()
    learning = [one for group in method.param_groups() for one in group.params]
    return make_step(method.to(memory_format=torch.channels_last), torch.optim.SGD(learning, lr=0.01, foreach=True),
                     batch or options.batch, size, "fp32")


def make_classifier_step(options: ScalingOptions, classes: int) -> Work:
    """A step of fine-tuning ResNet-18 with so many classes."""
    import torch

    from benchmarks.steps import make_step
    from datasets.views.recipes import View
    from methods.supervised import Supervised, Supervision
    from models.classifiers.classifier import Classifier

    method = Supervised(Classifier("resnet18", classes), Supervision(classes=classes, view=View("full", "timm", 112)))
    method = method.to(options.device).train().to(memory_format=torch.channels_last)
    learning = [one for group in method.param_groups() for one in group.params]
    return make_step(method, torch.optim.SGD(learning, lr=0.01, foreach=True), options.batch, 112, "fp32")


def make_ranking(options: ScalingOptions, count: int) -> Work:
    """Every image of so many ranked against all others, 512 numbers each."""
    import torch

    from evaluation.retrieval.score import retrieve

    features, labels = torch.randn(count, 512).to(options.device), torch.arange(count).to(options.device) // 20
    return partial(retrieve, features, labels)


def list_axes(options: ScalingOptions) -> dict[str, dict[int, Callable[[], Work]]]:
    """What grows, and the work at each size, the smallest first."""
    return {
        "side of the views in pixels": {size: partial(make_contrast, options, size=size) for size in (64, 128, 256)},
        "images of a step": {size: partial(make_contrast, options, batch=size) for size in (4, 8, 16)},
        "keys in the queue": {size: partial(make_contrast, options, queue=size) for size in (1024, 16384, 65536)},
        "classes": {size: partial(make_classifier_step, options, size) for size in (100, 1000, 10000)},
        "images that are ranked": {size: partial(make_ranking, options, size) for size in (1000, 2000, 4000)},
    }


def measure_axis(works: dict[int, Work], rounds: int) -> dict[int, float]:
    """Median seconds of each size over those of the smallest, all taking turns."""
    seconds = interleave({str(size): work for size, work in works.items()}, rounds)
    medians = {size: statistics.median(seconds[str(size)]) for size in works}
    first = next(iter(medians.values()))
    return {size: took / first for size, took in medians.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse_benchmark(__doc__, ScalingOptions, argv)
    start_benchmark(options, "scaling")
    print(name_processor(), flush=True)
    for axis, makers in list_axes(options).items():
        found = measure_axis({size: make() for size, make in makers.items()}, options.rounds)
        print(f"{axis}: " + ", ".join(f"{size:,} {ratio:.2f}" for size, ratio in found.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
