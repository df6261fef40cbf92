"""How often a classifier is right: by branch, by class, by source. Shares in [0, 1]; label -1 (none) is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor

from datasets.joint import Source, find_sources


@dataclass(frozen=True)
class TopScores:
    """The share of images whose own class is among the 1, 3 and 5 that score highest; NaN when there is no image."""

    top1: float
    top3: float
    top5: float
    images: int


@dataclass(frozen=True)
class ClassScores:
    """Each class's precision, recall and F1, float64 [K], and its number of test images, int64 [K].

    A class that was never predicted has precision 0, a class without test images recall 0.
    """

    names: tuple[str, ...]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]

    def macro(self) -> dict[str, float]:
        """Means over the classes that have test images; NaN when no class has."""
        tested = self.support > 0
        columns = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {name: float(values[tested].mean()) if tested.any() else float("nan")
                for name, values in columns.items()}

    def rows(self) -> list[dict[str, object]]:
        """One row a class, in label order, for a table."""
        columns = zip(self.names, self.precision.tolist(), self.recall.tolist(), self.f1.tolist(),
                      self.support.tolist(), strict=True)
        return [dict(zip(("class", "precision", "recall", "f1", "support"), row)) for row in columns]


@dataclass(frozen=True)
class SourceScores:
    """Scores by source of a joint data set, and how often an image of source i got a class of source j: [S, S]."""

    scores: dict[str, TopScores]
    confusion: Tensor


def find_ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before each image's own: logits or probabilities [N, K], labels [N] -> int64 [N].

    0 is right, as by argmax: of equal scores the lower class comes first. A score of NaN comes last.
    """
    own = logits.gather(1, labels[:, None])
    before = (logits > own).sum(dim=1)
    ties = (logits == own) & (torch.arange(logits.shape[1], device=logits.device) < labels[:, None])
    return torch.where(own[:, 0].isnan(), logits.shape[1], before + ties.sum(dim=1))


def score_ranks(ranks: Tensor) -> TopScores:
    """Shares of ranks below 1, 3 and 5."""
    top1, top3, top5 = ((ranks < depth).double().mean().item() for depth in (1, 3, 5))
    return TopScores(top1, top3, top5, images=len(ranks))


def score_top(logits: Tensor, labels: Tensor) -> TopScores:
    """One branch: logits or probabilities [N, K], labels [N]."""
    known = labels >= 0
    return score_ranks(find_ranks(logits[known], labels[known]))


def score_branches(logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, TopScores]:
    """Every branch by its name, and ensembles likewise."""
    return {name: score_top(values, labels) for name, values in logits.items()}


def score_classes(predictions: Tensor, labels: Tensor, classes: Sequence[str]) -> ClassScores:
    """Per-class scores of predicted classes [N] against labels [N]; `classes` in label order."""
    known = labels >= 0
    precision, recall, f1, support = precision_recall_fscore_support(
        labels[known].numpy(), predictions[known].numpy(), labels=np.arange(len(classes)), zero_division=0)
    return ClassScores(tuple(classes), precision, recall, f1, support.astype(np.int64))


def count_confusions(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """How many images of class i were taken for class j: int64 [K, K]; images without label (-1) are left out."""
    # scikit-learn's confusion_matrix refuses to count no image at all, and takes ten times as long.
    known = labels >= 0
    pairs = labels[known] * classes + predictions[known]
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def score_sources(logits: Tensor, labels: Tensor, sources: Sequence[Source]) -> SourceScores:
    """Each source's images among all classes, and which source they were taken for; logits or probabilities [N, K]."""
    known = labels >= 0
    logits, labels = logits[known], labels[known]
    owner, taken = find_sources(labels, sources), find_sources(logits.argmax(dim=1), sources)
    scores = {source.name: score_top(logits[owner == place], labels[owner == place])
              for place, source in enumerate(sources)}
    return SourceScores(scores, count_confusions(taken, owner, len(sources)))
