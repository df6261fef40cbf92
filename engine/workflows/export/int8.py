"""What eight bits cost and gain: mAP or accuracy of the photographs of --root, and images a second, beside float32."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datasets.class_names import relabel
from datasets.images import ImageSet
from datasets.joint import describe_sources
from datasets.loader import count_workers
from engine.flags.evaluate.export import ExportOptions
from engine.workflows.export.package import Package, Run
from engine.workflows.export.photographs import CheckPictures, load_labelled
from engine.workflows.export.pixels import convert_pixels
from engine.workflows.export.subject import Exportable
from evaluation.features.extract import extract
from evaluation.features.subject import check_classes
from evaluation.retrieval.score import retrieve

TURNS = 7


@dataclass(frozen=True)
class Price:
    """`scores` in [0, 1] by output, in float32 and in int8; `metric` mAP or accuracy; images a second of both."""

    metric: str
    scores: dict[str, tuple[float, float]]
    images: str
    speeds: tuple[float, float]
    threads: int

    def describe(self) -> str:
        """One line for people."""
        lost = "; ".join(f"{name}: {self.metric} {full:.4f} in float32, {small:.4f} in int8 ({small - full:+.4f})"
                         for name, (full, small) in self.scores.items())
        full, small = self.speeds
        return (f"{lost}, on {self.images}. {full:.1f} images/s in float32, {small:.1f} in int8 ({small / full:.2f} "
                f"times), {self.threads} thread{'s' * (self.threads > 1)}")


def measure_price(
    options: ExportOptions, exportable: Exportable, package: Package, photographs: CheckPictures
) -> Price | None:
    """Both files on every labelled photograph of --root; None without --root, or where nothing is quantised."""
    if package.full is None or not options.root:
        return None
    images = load_labelled(options, exportable)
    if exportable.kind != "encoder" and exportable.names:
        images = relabel(images, exportable.names, describe_sources(exportable.sources), text=exportable.source)
    check_classes(images, 0)
    full, small = (score_run(options, exportable, package, run, images) for run in (package.full, package.run))
    pixels = convert_pixels(photographs.pixels, exportable, package.pixels)
    return Price(
        "mAP" if exportable.kind == "encoder" else "accuracy", {name: (full[name], small[name]) for name in full},
        f"{len(images)} photographs of {images.root.name} ({images.split})",
        measure_speeds(package.full, package.run, pixels), torch.get_num_threads())


def score_run(
    options: ExportOptions, exportable: Exportable, package: Package, run: Run, images: ImageSet
) -> dict[str, float]:
    """mAP (leave-one-out, by cosine) or accuracy of what a file says of the images."""

    def ask(pixels: Tensor) -> dict[str, Tensor]:
        found = run(convert_pixels(pixels.numpy(), exportable, package.pixels))
        return {name: torch.from_numpy(value) for name, value in found.items()}

    found = extract(ask, images, exportable.view, batch_size=options.batch_size, crop_bottom=exportable.crop_bottom,
                    workers=count_workers(options.num_workers), title="float32" if run is package.full else "int8")
    if exportable.kind == "encoder":
        return {name: retrieve(rows, found.labels).map for name, rows in found.tensors.items()}
    known = found.labels >= 0
    return {name: float((rows.argmax(dim=1) == found.labels)[known].float().mean())
            for name, rows in found.tensors.items()}


def measure_speeds(full: Run, small: Run, pixels: np.ndarray) -> tuple[float, float]:
    """Images a second of both, timed in turns: of each the best."""
    best = [float("inf")] * 2
    for _ in range(TURNS):
        for place, run in enumerate((full, small)):
            start = time.perf_counter()
            run(pixels)
            best[place] = min(best[place], time.perf_counter() - start)
    return len(pixels) / best[0], len(pixels) / best[1]
