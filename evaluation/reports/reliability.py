"""The reliability diagram: how often a classifier is right when it is so sure (Guo et al., arXiv 1706.04599)."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.axes import Axes
from torch import Tensor

from evaluation.metrics.calibration import Calibration
from evaluation.reports.figure import label_text, load_pyplot
from runtime.files import write_atomically

ACCURACY, TOO_SURE, TOO_SHY, OUTLINE = "#0a6b3d", "#e58a84", "#8fc3a9", "#6d7f94"


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
