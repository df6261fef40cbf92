"""Classification by text: every image is given the class whose row lies nearest to its feature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.metrics.classification import count_confusions
from evaluation.metrics.similarity import cross_chunks, normalise_embeddings
from runtime.errors import DataError

TOP = 5


@dataclass(frozen=True)
class ZeroShot:
    """Shares in [0, 1] of labelled images whose class is the nearest row, and is among the nearest five.

    `confusion` int64 [C, C] counts images by true class (row) and guess (column).
    """

    top1: float
    top5: float
    confusion: Tensor

    @property
    def per_class(self) -> Tensor:
        """Accuracy of each class float64 [C]; NaN for a class without images."""
        return self.confusion.diag().double() / self.confusion.sum(dim=1)

    def worst_pairs(self, most: int = 20) -> list[tuple[int, int, int]]:
        """(true class, guess, images) of the commonest mistakes, most first."""
        wrong = self.confusion.clone().fill_diagonal_(0)
        order = wrong.flatten().argsort(descending=True, stable=True)[:most].tolist()
        width = len(wrong)
        found = [(index // width, index % width, int(wrong.flatten()[index])) for index in order]
        return [pair for pair in found if pair[2]]


def zero_shot(features: Tensor, rows: Tensor, labels: Tensor) -> ZeroShot:
    """Score features [N, D] against class rows [C, D] in label order; labels [N], -1 = not scored.

    Equal cosines go to the lower class. Raises DataError when no image has a label.
    """
    scored = labels >= 0
    if not scored.any():
        raise DataError("no image has a label, so zero-shot accuracy cannot be measured; put them in class folders")
    truth = labels[scored].cpu()
    nearest = nearest_rows(features[scored], rows, TOP)
    hits = nearest == truth[:, None]
    return ZeroShot(float(hits[:, 0].double().mean()), float(hits.any(dim=1).double().mean()),
                    count_confusions(nearest[:, 0], truth, len(rows)))


def nearest_rows(features: Tensor, rows: Tensor, k: int = 1) -> Tensor:
    """The k rows [C, D] of highest cosine with each feature [N, D], best first: int64 [N, min(k, C)], on the CPU."""
    chunks = cross_chunks(normalise_embeddings(features), normalise_embeddings(rows).to(features.device))
    found = [chunk.scores.argsort(dim=1, descending=True, stable=True)[:, :k] for chunk in chunks]
    return torch.cat(found).cpu()
