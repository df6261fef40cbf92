"""Whether a classifier's probabilities mean what they say: calibration errors and the Brier score.

(Guo et al., On calibration of modern neural networks, arXiv 1706.04599.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.errors import DataError

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Calibration of the best class's probability, and proper scores of all of them.

    `ece` is the mean gap between confidence and accuracy over bins, weighted by their images, and `mce` the largest
    gap of a bin; `brier` the squared error summed over classes (0 to 2); `nll` the mean of -log(probability of the
    label), natural. The bins are of equal width; `count` int64, `confidence` and `accuracy` float64 [bins] are their
    images and means (0 in empty ones).
    """

    ece: float
    mce: float
    brier: float
    nll: float
    count: Tensor
    confidence: Tensor
    accuracy: Tensor

    def to_dict(self) -> dict[str, float]:
        """The four numbers."""
        return {name: getattr(self, name) for name in ("ece", "mce", "brier", "nll")}


def calibrate(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> Calibration:
    """Calibration of probabilities [N, K] against labels [N]; -1 is left out.

    Raises ValueError without any label, DataError for NaN and infinity.
    """
    known = labels >= 0
    if not known.any():
        raise ValueError("calibration needs images with labels")
    shares, labels = probabilities[known].double(), labels[known]
    if not bool(torch.isfinite(shares).all()):
        raise DataError("calibration needs probabilities; some are NaN or infinite: the network is broken")
    confidence, predicted = shares.max(dim=1)
    count, mean_confidence, mean_accuracy = _fill_bins(confidence, predicted == labels, bins)
    gap = (mean_accuracy - mean_confidence).abs()
    own = shares.gather(1, labels[:, None])[:, 0]
    return Calibration(
        ece=float((gap * count).sum() / count.sum()), mce=float(gap.max()),
        brier=float((shares.square().sum(dim=1) - 2 * own + 1).mean()),
        nll=float(-own.clamp(min=torch.finfo(torch.float32).tiny).log().mean()),
        count=count, confidence=mean_confidence, accuracy=mean_accuracy)


def expected_gap(confidence: Tensor, right: Tensor, bins: int = BINS) -> float:
    """The `ece` of `calibrate` for answers that come with a confidence [N] and are right or not, bool [N]."""
    count, mean_confidence, mean_accuracy = _fill_bins(confidence.double(), right, bins)
    return float(((mean_accuracy - mean_confidence).abs() * count).sum() / count.sum())


def _fill_bins(confidence: Tensor, right: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, mean confidence and accuracy of every bin [bins]; bins hold their upper end."""
    place = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    count = torch.bincount(place, minlength=bins)
    mean_confidence, mean_accuracy = (
        torch.bincount(place, values, minlength=bins) / count.clamp(min=1) for values in (confidence, right.double()))
    return count, mean_confidence, mean_accuracy
