"""The plain way to evaluate embeddings: a product and a top-k for each query, metrics by NumPy, NMI by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from evaluation.metrics.clustering import kmeans_clusters

DEEPEST = 1000


@dataclass(frozen=True)
class PlainMetrics:
    """Means over the queries."""

    recall: dict[int, float]
    map_at_r: float


def evaluate_one_by_one(features: Tensor, labels: Tensor, queries: range) -> PlainMetrics:
    """Recall@1, 10, 100, 1000 and MAP@R of features [N, D], leave-one-out; every class has two images at least."""
    rows, counts = F.normalize(features.float(), dim=1), labels.bincount()
    precisions, firsts = [], []
    for query in queries:
        scores = find_scores(rows, query)
        scores[query] = -torch.inf
        order = find_top(scores)
        hits = (labels[order] == labels[query]).cpu().numpy()
        relevant = int(counts[labels[query]]) - 1
        near = hits[:relevant]
        precisions.append((near * near.cumsum() / np.arange(1, relevant + 1)).sum() / relevant)
        firsts.append(hits.argmax() + 1 if hits.any() else DEEPEST + 1)
    found = np.array(firsts)
    return PlainMetrics({depth: float((found <= depth).mean()) for depth in (1, 10, 100, 1000)},
                        float(np.mean(precisions)))


def find_scores(rows: Tensor, query: int) -> Tensor:
    """Cosines [N] of all unit rows with one of them."""
    return rows @ rows[query]


def find_top(scores: Tensor) -> Tensor:
    """Indices of the best DEEPEST, best first."""
    return scores.topk(min(DEEPEST, len(scores) - 1)).indices


def score_clusters_plainly(features: Tensor, labels: Tensor) -> float:
    """NMI of the same k-means."""
    found = kmeans_clusters(features.cpu().numpy(), int(labels.max()) + 1)
    return float(normalized_mutual_info_score(labels.cpu().numpy(), found))
