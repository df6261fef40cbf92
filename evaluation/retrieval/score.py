"""Image retrieval: every image queries all others, or queries search a gallery. No training.

AP of a query = (1/P) sum_k k / r_k over the full ranking, with P the images of its class without itself and r_k the
rank of the k-th of them. Rank-1 and rank-5: a hit within the first one or five. Equal scores rank by gallery index;
the query itself is removed by its index, not by its rank. All other numbers are of the same ranks
(`evaluation.metrics.ranks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from evaluation.metrics.ranking import leave_self, rank_columns, take_top
from evaluation.metrics.ranks import ABSENT, measure_ranks
from evaluation.metrics.similarity import (
    MOST_HELD,
    TILE,
    Chunk,
    cross_chunks,
    euclid_chunks,
    normalise_embeddings,
    self_chunks,
)
from runtime.errors import DataError

Distance = Literal["cosine", "euclid"]


@dataclass(frozen=True)
class RetrievalScores:
    """Means over queries in [0, 1], and what every query got.

    `average_precision` float64 [N] is NaN and `first_hit` int64 [N] (1-based rank) is 0 where a query was skipped
    because no other image has its class. `per_query` has all METRICS of `evaluation.metrics.ranks`, float64 [N] with
    NaN; `of_set` what belongs to the whole set: clusters, distances, spectrum.
    """

    rank1: float
    rank5: float
    map: float
    queries: int
    skipped: int
    average_precision: Tensor
    first_hit: Tensor
    per_query: dict[str, Tensor] = field(default_factory=dict)
    of_set: dict[str, float] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Every number by its name: means over the queries that were scored, then those of the set."""
        scored = self.first_hit > 0
        return {name: float(values[scored].mean()) for name, values in self.per_query.items()} | self.of_set


@dataclass(frozen=True)
class _Gallery:
    """Images by class: those of `classes[c]` are `order[start[c] : start[c] + count[c]]`, ascending."""

    classes: Tensor
    order: Tensor
    start: Tensor
    count: Tensor


def retrieve(
    features: Tensor, labels: Tensor, *, distance: Distance = "cosine", chunk_size: int | None = None
) -> RetrievalScores:
    """Leave-one-out scores of features [N, D] with labels [N]; -1 = unlabelled, in the gallery only.

    The ranking is by cosine, for which features are normalised here, or by Euclidean distance between them as they are.
    `chunk_size` bounds the memory (queries ranked at once; None: 256 MB of scores) and changes no number. Raises
    DataError when no class has a pair.
    """
    chunk_size = chunk_size or choose_chunk_size(len(features))
    if distance == "cosine":
        chunks = self_chunks(normalise_embeddings(features), chunk_size)
    else:
        chunks = euclid_chunks(features, chunk_size)
    return score_chunks(chunks, labels, labels, among_selves=True)


def retrieve_across(
    queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor, *, chunk_size: int | None = None
) -> RetrievalScores:
    """Scores of queries [Q, D] in a gallery [M, D] of other images; labels of both mean the same classes.

    Unlabelled queries (-1) are skipped. Raises DataError when no query has an image of its class in the gallery.
    """
    embeddings, others = normalise_embeddings(queries), normalise_embeddings(gallery)
    chunks = cross_chunks(embeddings, others, chunk_size or choose_chunk_size(len(others)))
    return score_chunks(chunks, query_labels, gallery_labels, among_selves=False)


def score_chunks(
    chunks: Iterable[Chunk], query_labels: Tensor, gallery_labels: Tensor, *, among_selves: bool
) -> RetrievalScores:
    """Scores of any ranking, given as chunks of scores [b, M] (higher is nearer) of all queries in order.

    `among_selves`: queries and gallery are the same images, and each is taken out of its own ranking.
    """
    gallery, parts, firsts = None, [], []
    for chunk in chunks:
        if gallery is None:
            gallery = _group(gallery_labels.to(chunk.scores.device))
        scored = query_labels[chunk.start : chunk.start + len(chunk.scores)].to(chunk.scores.device)
        scores = leave_self(chunk.scores, chunk.start) if among_selves else chunk.scores
        ranks = _relevant_ranks(scores, scored, gallery, chunk.start if among_selves else None)
        parts.append({name: values.cpu() for name, values in measure_ranks(ranks).items()})
        firsts.append(ranks[:, 0].masked_fill(ranks[:, 0] == ABSENT, 0).cpu())
        del chunk, scores  # else two chunks of scores are held while the next one is made
    return _summarise({name: torch.cat([part[name] for part in parts]) for name in parts[0]}, torch.cat(firsts))


def nearest(features: Tensor, k: int, *, chunk_size: int = TILE) -> Tensor:
    """The k nearest other images of every image, best first, ties to the lower index: int64 [N, min(k, N - 1)]."""
    embeddings = normalise_embeddings(features)
    return take_nearest(self_chunks(embeddings, chunk_size), min(k, len(embeddings) - 1), among_selves=True)


def take_nearest(chunks: Iterable[Chunk], k: int, *, among_selves: bool) -> Tensor:
    """The k best of every query of the chunks, best first, ties to the lower index: int64 [Q, k]."""
    return torch.cat([take_top(leave_self(chunk.scores, chunk.start) if among_selves else chunk.scores, k).cpu()
                      for chunk in chunks])


def choose_chunk_size(gallery: int) -> int:
    """Queries at a time that keep a chunk of scores within 256 MB (one tile of 256 queries at least)."""
    return max(MOST_HELD * MOST_HELD // gallery, 1)


def _group(labels: Tensor) -> _Gallery:
    classes, of, counts = labels.unique(return_inverse=True, return_counts=True)
    return _Gallery(classes, of.argsort(stable=True), counts.cumsum(0) - counts, counts)


def _relevant_ranks(scores: Tensor, labels: Tensor, gallery: _Gallery, start: int | None) -> Tensor:
    """1-based ranks of every query's relevant images in ascending order: int64 [b, P], ABSENT where there is none.

    Query i is the gallery's image `start` + i, unless `start` is None.
    """
    place = torch.searchsorted(gallery.classes, labels).clamp(max=len(gallery.classes) - 1)
    known = (gallery.classes[place] == labels) & (labels >= 0)
    steps = torch.arange(int(gallery.count.max()), device=scores.device)
    absent = (steps >= gallery.count[place][:, None]) | ~known[:, None]
    columns = gallery.order[(gallery.start[place][:, None] + steps).clamp(max=len(gallery.order) - 1)]
    if start is not None:
        absent |= columns == torch.arange(start, start + len(scores), device=scores.device)[:, None]
    return rank_columns(scores, columns, absent).masked_fill_(absent, ABSENT).sort(dim=1).values


def _summarise(per_query: dict[str, Tensor], first: Tensor) -> RetrievalScores:
    scored = first > 0
    if not scored.any():
        raise DataError(f"retrieval needs classes with at least two images; none of the {len(first)} images has another"
                        " image of its class. Check the labels, or use a split with more images per class")
    hit, queries = first[scored], int(scored.sum())
    return RetrievalScores(
        rank1=float((hit <= 1).double().mean()),
        rank5=float((hit <= 5).double().mean()),
        map=float(per_query["map"][scored].mean()),
        queries=queries,
        skipped=len(first) - queries,
        average_precision=per_query["map"],
        first_hit=first,
        per_query=per_query,
    )
