"""Weighted nearest-neighbour classification (Wu et al., arXiv 1805.01978): votes exp(cosine / temperature)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from evaluation.metrics.ranking import leave_self
from evaluation.metrics.similarity import Chunk, cross_chunks, normalise_embeddings, self_chunks


def knn_accuracy(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Share of test embeddings [M, D] whose k nearest train embeddings [N, D] vote for their class; k is at most N.

    Unlabelled train images (-1) do not vote, unlabelled test images are no queries. Raises ValueError if none is left.
    """
    queries = test_labels >= 0
    _check(int((train_labels >= 0).sum()), int(queries.sum()))
    predicted = predict_neighbours(train, train_labels, test[queries.to(test.device)], k, temperature)
    return float((predicted == test_labels[queries].cpu()).double().mean())


def predict_neighbours(
    train: Tensor, train_labels: Tensor, test: Tensor, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """The class that the k nearest labelled train embeddings [N, D] vote for, for each of [M, D] in test: int64 [M]."""
    voters = train_labels >= 0
    gallery = normalise_embeddings(train[voters.to(train.device)])
    queries = normalise_embeddings(test).to(gallery.device)
    votes = train_labels[voters].to(gallery.device)
    return _vote(cross_chunks(queries, gallery), votes, min(k, len(gallery)), temperature).cpu()


def knn_leave_one_out(features: Tensor, labels: Tensor, k: int = 20, temperature: float = 0.07) -> float:
    """Share of labelled embeddings [N, D] whose k nearest labelled others vote for their class; k is at most N - 1."""
    labelled = labels >= 0
    _check(int(labelled.sum()) - 1, int(labelled.sum()))
    embeddings = normalise_embeddings(features[labelled])
    votes = labels[labelled].to(embeddings.device)
    chunks = (Chunk(one.start, leave_self(one.scores, one.start)) for one in self_chunks(embeddings))
    predicted = _vote(chunks, votes, min(k, len(embeddings) - 1), temperature)
    return float((predicted == votes).double().mean())


def _check(voters: int, queries: int) -> None:
    if voters < 1 or queries < 1:
        raise ValueError(f"kNN needs labelled images: {max(voters, 0)} can vote and {queries} can be queries")


def _vote(chunks: Iterable[Chunk], labels: Tensor, k: int, temperature: float) -> Tensor:
    """The class with the most weight among every query's k nearest: int64 [M]."""
    classes = int(labels.max()) + 1
    predicted = []
    for chunk in chunks:
        near = chunk.scores.topk(k, dim=1)
        weights = ((near.values - near.values[:, :1]) / temperature).exp()  # relative: never underflows
        ballot = weights.new_zeros(len(weights), classes).scatter_add_(1, labels[near.indices], weights)
        predicted.append(ballot.argmax(dim=1))
    return torch.cat(predicted)
