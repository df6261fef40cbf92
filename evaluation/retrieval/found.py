"""What a retrieval found."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from datasets.images import ImageSet
from evaluation.features.subject import Subject
from evaluation.retrieval.score import RetrievalScores


@dataclass(frozen=True)
class SearchScores:
    """What labels say of a retrieval: its scores, the 95 % interval of mAP, kNN accuracy and its protocol."""

    scores: RetrievalScores
    interval: tuple[float, float]
    knn: float
    knn_protocol: str


@dataclass(frozen=True)
class Search:
    """A finished retrieval: `neighbours` [N, k] are the gallery's indices nearest to every image, best first.

    `gallery` is `images` itself in leave-one-out. `protocol` and `reranked` ("" for not) say how it was done.
    `measured` is None for images without labels: there is a picture then, and no number.
    """

    subject: Subject
    images: ImageSet
    gallery: ImageSet
    labels: Tensor
    gallery_labels: Tensor
    neighbours: Tensor
    speed: float
    measured: SearchScores | None
    protocol: str = ""
    reranked: str = ""
