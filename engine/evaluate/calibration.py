"""Whether a classifier's probabilities mean what they say: calibration errors, Brier score, and a reliability diagram.

(Guo et al., On calibration of modern neural networks, arXiv 1706.04599.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.curves import label_text, load_pyplot
from runtime.errors import DataError
from runtime.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 15
ACCURACY, TOO_SURE, TOO_SHY, OUTLINE = "#0a6b3d", "#e58a84", "#8fc3a9", "#6d7f94"


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
    place = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)  # bins hold their upper end
    count = torch.bincount(place, minlength=bins)
    mean_confidence, mean_accuracy = (
        torch.bincount(place, values, minlength=bins) / count.clamp(min=1)
        for values in (confidence, (predicted == labels).double()))
    gap = (mean_accuracy - mean_confidence).abs()
    own = shares.gather(1, labels[:, None])[:, 0]
    return Calibration(
        ece=float((gap * count).sum() / count.sum()), mce=float(gap.max()),
        brier=float((shares.square().sum(dim=1) - 2 * own + 1).mean()),
        nll=float(-own.clamp(min=torch.finfo(torch.float32).tiny).log().mean()),
        count=count, confidence=mean_confidence, accuracy=mean_accuracy)


def draw_reliability(calibration: Calibration, picture: Path, title: str = "Reliability") -> None:
    """Accuracy over confidence, and below it where the images are, into a PNG."""
    pyplot = load_pyplot()
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(5, 6.2), height_ratios=[4, 1], sharex=True)
    draw_bins(upper, calibration)
    upper.set(title=label_text(title), ylabel="accuracy in percent", ylim=(0, 100))
    upper.title.set_fontsize(10)
    width, centres = place_bins(len(calibration.count))
    lower.bar(centres, 100 * calibration.count / calibration.count.sum(), 0.92 * width, color=OUTLINE)
    lower.set(xlabel="confidence in percent (probability of the predicted class)", ylabel="images, %", xlim=(0, 100))
    for axis in (upper, lower):
        axis.grid(color="#e4e9ef")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    write_atomically(picture, lambda draft: figure.savefig(draft, dpi=120))
    pyplot.close(figure)


def draw_bins(axis: Axes, calibration: Calibration) -> None:
    """A bar of accuracy for each bin that holds images, its gap to the mean confidence, and the diagonal."""
    width, centres = place_bins(len(calibration.count))
    held = calibration.count > 0
    accuracy, confidence = 100 * calibration.accuracy[held], 100 * calibration.confidence[held]
    least = torch.minimum(accuracy, confidence)
    for colour, low, high, words in ((ACCURACY, torch.zeros_like(least), least, "accuracy"),
                                     (TOO_SHY, least, accuracy, "accuracy above the mean confidence"),
                                     (TOO_SURE, least, confidence, "mean confidence above accuracy")):
        axis.bar(centres[held], high - low, 0.92 * width, low, color=colour, label=words)
    axis.plot([0, 100], [0, 100], "--", color=OUTLINE, linewidth=1, label="perfectly calibrated")
    numbers = calibration.to_dict()
    text = f"ECE {100 * numbers['ece']:.1f} %   MCE {100 * numbers['mce']:.1f} %\n" \
           f"Brier {numbers['brier']:.3f}   NLL {numbers['nll']:.3f}"
    axis.text(0.97, 0.05, text, transform=axis.transAxes, ha="right", va="bottom", fontsize=8,
              bbox={"facecolor": "white", "edgecolor": "#e4e9ef"})
    axis.legend(fontsize=8, frameon=False, loc="upper left")


def place_bins(bins: int) -> tuple[float, Tensor]:
    """Width of a bin and the centres of all, in percent."""
    return 100 / bins, (torch.arange(bins) + 0.5) * 100 / bins
