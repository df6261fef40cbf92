"""Is it learning? Numbers read from the training split every few epochs; labels, if any, are only looked at here.

Retrieval is for a validation split only: test is read once, after training.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from datasets.crops import Crops
from datasets.images import ImageSet
from datasets.views.recipes import View
from evaluation.features.extract import Features, extract
from evaluation.labelfree.joining import Judge, judge_trained
from evaluation.metrics.geometry import effective_rank, measure_spread
from evaluation.metrics.knn import knn_leave_one_out
from evaluation.options import LABELFREE
from evaluation.retrieval.score import Distance, retrieve
from methods.method import Method
from runtime import distributed
from runtime.errors import BrokenNetwork

Measured = TypeVar("Measured", bound=Method)


def measure_or_warn(
    measure: Callable[[Measured], dict[str, float]], method: Measured, epoch: int
) -> dict[str, float]:
    """What `measure` says of the method in eval mode; {}, with a note, where a network returns NaN or infinity."""
    method.eval()
    try:
        return measure(method)
    except BrokenNetwork as error:  # what to do about it is the trainer's to decide, by its loss
        if distributed.is_main():
            print(f"warning: epoch {epoch + 1} is not monitored: {error}", file=sys.stderr)
        return {}


@dataclass(frozen=True)
class Monitor:
    """monitor(method, epoch): features of (a part of) the training split in the evaluation view become numbers.

    `head_distance` ranks the head's embeddings on `validation`; other features always rank by cosine. A `judge` says
    without labels how good they are; `labelfree` is its word on a trained network.
    """

    images: ImageSet
    view: View
    device: torch.device
    number_format: str
    crops: Crops | None = None
    batch_size: int = 64
    workers: int = 0
    crop_bottom: int = 0
    knn_k: int = 20
    knn_temperature: float = 0.07
    validation: ImageSet | None = None
    head_distance: Distance = "cosine"
    judge: Judge | None = None

    def __call__(self, method: Method, epoch: int) -> dict[str, float]:
        """kNN accuracy (leave one out), spread and effective rank of every feature; retrieval on `validation`."""
        return measure_or_warn(self.measure, method, epoch)

    def measure(self, method: Method) -> dict[str, float]:
        """The numbers; raises BrokenNetwork when the network returns NaN or infinity."""
        found = self.look(method, self.images)
        row: dict[str, float] = self.search(method) if self.validation is not None else {}
        for name, features in found.tensors.items():
            row[f"spread_{name}"] = measure_spread(features)
            row[f"rank_{name}"] = effective_rank(features)
            if bool((found.labels >= 0).all()):
                row[f"knn_{name}"] = knn_leave_one_out(features, found.labels, self.knn_k, self.knn_temperature)
        if self.judge is not None:
            row |= self.judge.measure(found.tensors)
            row[LABELFREE] = judge_trained(row, self.judge.share)
        return row

    def look(self, method: Method, images: ImageSet) -> Features:
        """All features of the images in the evaluation view."""
        return extract(method.outputs, images, self.view, crops=self.crops, batch_size=self.batch_size,
                       workers=self.workers, device=self.device, precision=self.number_format,
                       crop_bottom=self.crop_bottom, title=f"monitor: the network sees {images.split} images")

    def search(self, method: Method) -> dict[str, float]:
        """Rank-1, mAP and mAP@R of every feature among the validation images."""
        assert self.validation is not None, "nothing to search"
        found = self.look(method, self.validation)
        scores = {name: retrieve(features, found.labels, distance=self.head_distance if name == "head" else "cosine")
                  for name, features in found.tensors.items()}
        return {f"val_{number}_{name}": value for name, score in scores.items()
                for number, value in (("rank1", score.rank1), ("map", score.map),
                                      ("map_at_r", score.metrics()["map_at_r"]))}
