"""A confusion matrix as a picture that can be read with ten classes and with hundreds."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from evaluation.reports.figure import label_text, load_pyplot
from runtime.files import write_atomically
from runtime.names.spelling import show_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WRITTEN, NAMED = 24, 70  # up to so many classes cells bear their percentage, and rows and columns their names
LISTED, CUT = 60, 34  # errors in words at most, and letters of a class name
DOTS, LINE = 100, 17.2  # per inch, and of a line of the list
RIGHT, WRONG, EMPTY, INK = (10, 107, 61), (200, 40, 40), (238, 241, 245), "#1b1f24"


@dataclass(frozen=True)
class Confusion:
    """`count` of the `images` of class `label` were taken for class `predicted`."""

    label: int
    predicted: int
    count: int
    images: int


def list_confusions(counts: Tensor, limit: int = LISTED) -> list[Confusion]:
    """The most frequent errors, by number, then by share of their class, then by class."""
    images = counts.sum(dim=1)
    wrong = counts - counts.diag().diag()
    found = [Confusion(label, predicted, int(counts[label, predicted]), int(images[label]))
             for label, predicted in wrong.nonzero().tolist()]
    return sorted(found, key=lambda one: (-one.count, one.images, one.label, one.predicted))[:limit]


def describe_confusion(confusion: Confusion, names: Sequence[str]) -> str:
    """One error in words."""
    share = 100 * confusion.count / confusion.images
    label, predicted = (call(place, names) for place in (confusion.label, confusion.predicted))
    return f"{confusion.count} of {confusion.images} ({share:.0f} %)  {label} → {predicted}"


def describe_missed(counts: Tensor, names: Sequence[str], limit: int) -> list[str]:
    """The classes of which the smallest share is recognised, in words."""
    images, right = counts.sum(dim=1), counts.diag()
    recall = (right / images.clamp(min=1)).tolist()
    held = sorted((label for label in range(len(names)) if images[label] > right[label]), key=lambda one: recall[one])
    return [f"{int(right[label])} of {int(images[label])} ({100 * recall[label]:.0f} %)  {call(label, names)}"
            for label in held[:limit]]


def call(label: int, names: Sequence[str]) -> str:
    """A class by its name, and by its number as well where the matrix bears numbers."""
    if len(names) <= NAMED:
        return shorten_middle(names[label], CUT)
    return f"{label} {shorten_middle(names[label], CUT - 4)}"


def count_columns(text: str) -> int:
    """How many Latin letters a text is as wide as: East Asian ones are twice as wide."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def shorten_middle(name: str, letters: int) -> str:
    """The name on one line, its middle left out where it is too long."""
    name = show_name(name)
    half = (letters - 1) // 2
    return name if len(name) <= letters else f"{name[:letters - 1 - half]}…{name[-half:]}"


def paint(counts: Tensor) -> np.ndarray:
    """Shares of each row as colours, uint8 [K, K, 3]: green on the diagonal, red beside it, grey rows hold no image.

    Red grows with the root of the share, so that rare errors show.
    """
    images = counts.sum(dim=1, keepdim=True)
    shares = (counts / images.clamp(min=1)).double()
    diagonal = torch.eye(len(counts), dtype=torch.bool)
    strength = torch.where(diagonal, shares, 0.25 * (shares > 0) + 0.75 * shares.sqrt())[..., None]
    full = torch.where(diagonal[..., None], torch.tensor(RIGHT), torch.tensor(WRONG))
    colours = torch.where(images[..., None] > 0, 255 + strength * (full - 255), torch.tensor(EMPTY))
    return colours.round().to(torch.uint8).numpy()


def draw_confusion(
    counts: Tensor, names: Sequence[str], picture: Path, *, title: str = "Confusion matrix", borders: Sequence[int] = ()
) -> None:
    """The matrix int64 [K, K] row by row, with the most frequent errors in words beside it, into a PNG.

    `borders` are the first classes of a joint data set's sources; lines are drawn there.
    """
    pyplot = load_pyplot()
    names, classes = [label_text(name) for name in names], len(names)
    cell = 46 if classes <= WRITTEN else max(2, round((900 if classes > NAMED else 1050) / classes))
    margin = 55 + (7 * max(count_columns(shorten_middle(name, CUT)) for name in names) if classes <= NAMED else 15)
    side, listing = max(cell * classes, 330), 680
    wide, high = margin + side + listing, max(margin + side, 640) + 90
    figure = pyplot.figure(figsize=(wide / DOTS, high / DOTS), dpi=DOTS)
    axis = figure.add_axes((margin / wide, 1 - (60 + side) / high, side / wide, side / high))
    axis.imshow(paint(counts), interpolation="nearest")
    for border in borders:
        axis.axhline(border - 0.5, color=INK, linewidth=0.8)
        axis.axvline(border - 0.5, color=INK, linewidth=0.8)
    label_axes(axis, names)
    if classes <= WRITTEN:
        write_percentages(axis, counts)
    figure.text(20 / wide, 1 - 28 / high, label_text(title), fontsize=12, color=INK)
    words = figure.add_axes(((margin + side + 24) / wide, 0, (listing - 24) / wide, 1 - 60 / high))
    write_list(words, counts, names, int(max(side, 300) / LINE))
    write_atomically(picture, lambda draft: figure.savefig(draft))
    pyplot.close(figure)


def label_axes(axis: Axes, names: Sequence[str]) -> None:
    """Names on rows and columns where there is room, else class numbers."""
    axis.set_ylabel("class of the image", fontsize=9)
    axis.set_xlabel("predicted class", fontsize=9)
    if len(names) <= NAMED:
        size = 9 if len(names) <= WRITTEN else 6.5
        shown = [shorten_middle(name, CUT) for name in names]
        axis.set_xticks(range(len(names)), shown, rotation=90, fontsize=size)
        axis.set_yticks(range(len(names)), shown, fontsize=size)
    axis.tick_params(length=2, labelsize=None if len(names) <= NAMED else 8)
    axis.spines[:].set_color("#c5ccd5")


def write_percentages(axis: Axes, counts: Tensor) -> None:
    """Percentages of the rows in the cells that are not empty."""
    shares = (100 * counts / counts.sum(dim=1, keepdim=True).clamp(min=1)).tolist()
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            if value > 0:
                strong = value > (55 if row == column else 30)
                axis.text(column, row, f"{value:.0f}" if value >= 1 else "<1", ha="center", va="center", fontsize=9,
                          color="white" if strong else INK)


def write_list(axis: Axes, counts: Tensor, names: Sequence[str], room: int) -> None:
    """What the colours mean, and the most frequent errors; with many classes those that are missed most as well."""
    axis.set_axis_off()
    total, right = int(counts.sum()), int(counts.diag().sum())
    many = len(names) > NAMED
    found = list_confusions(counts, min(LISTED, (room * 2 // 3 if many else room) - 6))
    lines = [f"{total} images, {right} right ({100 * right / max(total, 1):.1f} %), {total - right} wrong",
             "Each row adds up to 100 %. Green: right; red: wrong; grey: no images.", "",
             "Most frequent errors (class of the image → predicted):" if found else "No errors.",
             *(describe_confusion(one, names) for one in found)]
    if many and found:
        lines += ["", "Classes that are recognised least:", *describe_missed(counts, names, room - len(lines) - 2)]
    axis.text(0, 1, "\n".join(lines), va="top", ha="left", fontsize=8.5, color=INK, linespacing=1.5,
              transform=axis.transAxes)
