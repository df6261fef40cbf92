"""How embeddings lie: distances within and between classes, and how many directions they use.

Everything is a closed form of sums, so that memory is O(D^2 + classes x D) for any number of images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.similarity import normalise_embeddings

CHUNK = 8192  # embeddings at a time
EPSILON = 1.2e-7  # singular values below this share of the first are rounding of float32 embeddings
NOISE = 1e-6  # cosine distances of float32 embeddings below this are rounding


def measure_geometry(features: Tensor, labels: Tensor) -> dict[str, float]:
    """All numbers of this file for features [N, D] with labels [N]; -1 (unlabelled) is left out."""
    labelled = (labels >= 0).to(features.device)
    embeddings = normalise_embeddings(features[labelled])
    return measure_distances(embeddings, labels.to(features.device)[labelled]) | measure_spectrum(embeddings)


def measure_distances(embeddings: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean cosine distance (1 - cosine) of unit embeddings [N, D] within and between classes, and intra / inter.

    `dist_intra`: over pairs of different images of a class, then over classes with a pair. `dist_inter`: over pairs of
    classes, between the directions of their mean embeddings. NaN without a pair; a ratio of rounding is NaN too.
    """
    _, of, counts = labels.unique(return_inverse=True, return_counts=True)
    sums = embeddings.new_zeros(len(counts), embeddings.shape[1], dtype=torch.float64)
    lengths = embeddings.new_zeros(len(counts), dtype=torch.float64)
    for part, place in zip(embeddings.split(CHUNK), of.split(CHUNK)):
        exact = F.normalize(part.double(), dim=1)  # lengths of float32 are off by more than close embeddings are apart
        sums.index_add_(0, place, exact)
        lengths.index_add_(0, place, exact.square().sum(dim=1))
    paired = counts > 1
    pairs = (counts * (counts - 1)).double()[paired]
    intra = _no_less(float((1 - (sums.square().sum(dim=1) - lengths)[paired] / pairs).mean()))
    inter = _no_less(_mean_distance(F.normalize(sums, dim=1)))
    return {"dist_intra": intra, "dist_inter": inter, "dist_ratio": intra / inter if inter > NOISE else float("nan")}


def _no_less(distance: float) -> float:
    """A distance without the rounding that takes it below 0; NaN stays."""
    return 0.0 if distance < 0 else distance


def _mean_distance(embeddings: Tensor) -> float:
    """Mean cosine distance of all pairs of different embeddings [C, D]; NaN for a single embedding."""
    count = len(embeddings)
    if count < 2:
        return float("nan")
    together = embeddings.sum(dim=0).square().sum() - embeddings.square().sum()
    return float(1 - together / (count * (count - 1)))


def singular_values(embeddings: Tensor) -> Tensor:
    """Singular values of embeddings [N, D], falling: float64 [min(N, D)]; by QR of pieces, which squares nothing."""
    factor = embeddings.new_empty(0, embeddings.shape[1], dtype=torch.float64)
    for part in embeddings.split(CHUNK):
        factor = torch.linalg.qr(torch.cat([factor, part.double()]), mode="r").R
    return torch.linalg.svdvals(factor)


def measure_spectrum(embeddings: Tensor) -> dict[str, float]:
    """rho: how far the singular values s of the uncentred embeddings, as shares of their sum, are from uniform (0).

    `rho_spectrum_1` = KL(U || s); `rho_spectrum_2` and `_10` drop the 1 and 9 largest first; `rho_spectrum_-1` =
    KL(s || U). (Roth et al., arXiv 2002.08473.) Infinite where a singular value is 0, NaN where all that count are.
    """
    values = singular_values(embeddings)
    values = values.masked_fill(values <= EPSILON * values[:1], 0.0)
    found = {f"rho_spectrum_{mode}": _divergence(values[mode - 1 :]) for mode in (1, 2, 10) if mode <= len(values)}
    return found | {"rho_spectrum_-1": _divergence(values, swap=True)}


def _divergence(values: Tensor, swap: bool = False) -> float:
    """KL(U || share), with `swap` KL(share || U), of values [M] as shares of their sum, in nats."""
    share, count = values / values.sum(), len(values)
    if swap:
        return float(torch.xlogy(share, share * count).sum())
    return float(-(share * count).log().mean())


def measure_spread(features: Tensor) -> float:
    """How far unit features [N, D] lie apart: sqrt(D) * mean standard deviation; 1 = over the sphere, 0 = collapsed.

    The collapse measure of SimSiam (Chen & He, arXiv 2011.10566).
    """
    unit = torch.nn.functional.normalize(features.float(), dim=1)
    return float(unit.std(dim=0).mean() * features.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the normalised singular values of centred features [N, D] (RankMe, arXiv 2210.02885)."""
    centred = features.double() - features.double().mean(dim=0)
    values = torch.linalg.svdvals(centred)
    values = values.masked_fill(values <= 1e-6 * features.double().norm(), 0.0)  # rounding, all that collapse leaves
    share = values / values.sum().clamp_min(1e-12)
    return float(torch.special.entr(share).sum().exp())
