"""Whether a file says what torch says: the largest difference, and whether neighbours or answers stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.workflows.export.package import Package, Run
from engine.workflows.export.photographs import CheckPictures
from engine.workflows.export.pixels import convert_pixels
from engine.workflows.export.subject import Exportable
from evaluation.retrieval.score import nearest
from runtime.errors import ConfigError

LIMIT = 1e-4  # of embeddings and logits; where they are larger than 1, of the largest of them
BATCHES = (1, 5)  # lengths of the first batches; the rest is one: a graph that has kept a length shows here


@dataclass(frozen=True)
class Agreement:
    """Of each output the largest absolute `differences` from torch and its largest number; of N images how many keep

    their nearest neighbour (an encoder) or their answer.
    """

    differences: dict[str, float]
    scales: dict[str, float]
    same: int
    images: int
    kind: str

    @property
    def largest(self) -> float:
        """The largest difference of all."""
        return max(self.differences.values())

    @property
    def holds(self) -> bool:
        """Whether every output lies within the limit."""
        return all(self.differences[name] <= LIMIT * max(1.0, self.scales[name]) for name in self.differences)

    def describe(self) -> str:
        """One line for people."""
        what = "nearest neighbour" if self.kind == "encoder" else "answer"
        return (f"largest difference from torch {self.largest:.1e} (largest number {max(self.scales.values()):.3g}); "
                f"the same {what} for {self.same} of {self.images}")


def compare_with_torch(exportable: Exportable, package: Package, photographs: CheckPictures) -> Agreement:
    """What the package answers beside what the network itself does; raises ConfigError where float32 differs.

    In 8 bits what they were made of is held to that, and their own difference is told.
    """
    wanted = exportable.answer(torch.from_numpy(photographs.pixels))
    pixels = convert_pixels(photographs.pixels, exportable, package.pixels)
    agreement = compare_answers(exportable.kind, wanted, run_in_batches(package.full or package.run, pixels))
    if not agreement.holds:
        raise ConfigError(f"the file would not say what torch says on {photographs.source}: {agreement.describe()}; "
                          "nothing was written. Take another --to, or another --opset")
    if package.full is None:
        return agreement
    return compare_answers(exportable.kind, wanted, run_in_batches(package.run, pixels))


def compare_answers(kind: str, wanted: dict[str, Tensor], found: dict[str, Tensor]) -> Agreement:
    """What a file answers beside what the network itself does, of every output [N, D]."""
    return Agreement(
        {name: float((found[name] - value).abs().max()) for name, value in wanted.items()},
        {name: float(value.abs().max()) for name, value in wanted.items()},
        min(count_same(found[name], value, kind) for name, value in wanted.items()),
        len(next(iter(wanted.values()))), kind)


def run_in_batches(run: Run, pixels: np.ndarray) -> dict[str, Tensor]:
    """The outputs of all images, asked for in batches of several lengths."""
    ends = np.cumsum((0, *BATCHES))
    cuts = [*ends[ends < len(pixels)], len(pixels)]
    parts = [run(pixels[start:stop]) for start, stop in zip(cuts, cuts[1:])]
    return {name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]}


def count_same(found: Tensor, wanted: Tensor, kind: str) -> int:
    """Images whose nearest other image, or whose class, is the same by both."""
    if kind != "encoder":
        return int((found.argmax(dim=1) == wanted.argmax(dim=1)).sum())
    if len(found) < 2:
        return len(found)
    return int((nearest(found, 1) == nearest(wanted, 1)).sum())
