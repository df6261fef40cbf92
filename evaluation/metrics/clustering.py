"""Do clusters of embeddings match classes? k-means, then NMI, AMI and the F1 of pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, pair_confusion_matrix
from torch import Tensor

from runtime.errors import DataError

FAISS_SEEDS = 2**31  # its seeds are signed 32-bit numbers, ours unsigned ones
PASSES = 20  # of k-means, as published deep metric learning code does
HELD = 4_000_000  # numbers of a block of the expected mutual information: 32 MB


@dataclass(frozen=True)
class ClusterScores:
    """Agreement of clusters with classes: 1 is perfect; `ami` and only it is 0 on average for clusters by chance.

    `nmi` divides the mutual information by the mean of both entropies, so does `ami` after taking off what chance
    gives; `f1` is of pairs: precision = same-class share of the pairs within clusters, recall = share of the same-class
    pairs that are in one cluster.
    """

    nmi: float
    ami: float
    f1: float

    def metrics(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def score_clusters(features: Tensor, labels: Tensor, *, seed: int = 0) -> ClusterScores:
    """k-means of features [N, D], as many clusters as labels [N] have classes; -1 (unlabelled) is left out."""
    labelled = labels >= 0
    truth = labels[labelled].cpu().numpy()
    embeddings = features[labelled.to(features.device)].float().cpu().numpy()
    return compare_partitions(truth, kmeans_clusters(embeddings, len(np.unique(truth)), seed))


def kmeans_clusters(embeddings: NDArray[np.float32], count: int, seed: int = 0) -> NDArray[np.int64]:
    """The cluster of every embedding [N, D]: faiss's k-means on all embeddings, Euclidean, PASSES passes: int64 [N].

    Raises DataError for NaN and infinity.
    """
    import faiss  # only clustering needs it

    embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
    if not np.isfinite(embeddings).all():
        raise DataError("k-means needs embeddings that are numbers; some hold NaN or infinity")
    model = faiss.Kmeans(embeddings.shape[1], count, niter=PASSES, seed=seed % FAISS_SEEDS, min_points_per_centroid=1,
                         max_points_per_centroid=len(embeddings))
    model.train(embeddings)
    return model.index.search(embeddings, 1)[1][:, 0]


def compare_partitions(truth: NDArray[np.int64], found: NDArray[np.int64]) -> ClusterScores:
    """Scores of clusters [N] against classes [N]; the numbers that name them mean nothing."""
    table = contingency_matrix(truth, found, sparse=True)
    classes, clusters = (np.asarray(table.sum(axis=axis)).ravel().astype(np.int64) for axis in (1, 0))
    shared, chance = mutual_info_score(None, None, contingency=table), expect_mutual_information(classes, clusters)
    limit = (entropy(classes) + entropy(clusters)) / 2
    ami = float((shared - chance) / (limit - chance)) if abs(limit - chance) > 1e-12 else 1.0
    (_, merged), (parted, both) = pair_confusion_matrix(truth, found).tolist()
    f1 = 2 * both / (2 * both + merged + parted) if both + merged + parted else 0.0
    return ClusterScores(min(float(shared / limit), 1.0) if limit > 0 else 1.0, ami, f1)


def expect_mutual_information(classes: NDArray[np.int64], clusters: NDArray[np.int64]) -> float:
    """Mutual information (nats) that chance gives partitions of these sizes (Vinh et al., JMLR 2010, eq. 24a).

    A term depends on two sizes only, so that equal sizes are counted instead of summed again.
    """
    # scikit-learn's sums every pair of a class and a cluster: 17 s for 11,316 classes of 5 images, not 1 ms.
    total = int(classes.sum())
    sizes, often = np.unique(classes, return_counts=True)
    others, how_often = np.unique(clusters, return_counts=True)
    expected = 0.0
    for size, weight in zip(sizes.tolist(), often.tolist()):
        width = min(size, int(others.max()))
        for start in range(0, len(others), max(HELD // width, 1)):
            part = slice(start, start + max(HELD // width, 1))
            expected += weight * float(_expect_terms(size, others[part], total) @ how_often[part])
    return expected


def _expect_terms(size: int, others: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    """Expected contribution of one class of `size` and a cluster of each of the sizes `others` [U]: [U]."""
    common = np.arange(1, min(size, int(others.max())) + 1)[None]
    other = others[:, None]
    held = np.clip(common, np.maximum(1, size + other - total), other)  # impossible overlaps are masked below
    log_share = (gammaln(size + 1) + gammaln(other + 1) + gammaln(total - size + 1) + gammaln(total - other + 1)
                 - gammaln(total + 1) - gammaln(held + 1) - gammaln(size - held + 1) - gammaln(other - held + 1)
                 - gammaln(total - size - other + held + 1))
    gain = held / total * np.log(total * held / (size * other))
    return np.where(held == common, gain * np.exp(log_share), 0.0).sum(axis=1)
