"""How a task turns the cut box into a training crop: a table, and three shapes of crop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from datasets.crops import Box
from DDT.localize import Frame, fit_box
from runtime.errors import DataError


@dataclass(frozen=True)
class Policy:
    """The shape of a crop around a box.

    square: the longer side both ways. rect: wider by `widen` and higher by `heighten` percent. none: the box itself.
    """

    shape: Literal["square", "rect", "none"] = "square"
    widen: float = 0.0
    heighten: float = 0.0

    def __str__(self) -> str:
        """The word that `parse_policy` reads back."""
        return f"rect:{self.widen:g},{self.heighten:g}" if self.shape == "rect" else self.shape


@dataclass(frozen=True)
class Task:
    """What a data set's name implies: its crop policy, and the pixel rows to drop at the bottom of every image."""

    policy: Policy = Policy()
    crop_bottom: int = 0


PLAIN = {"square": Policy("square"), "none": Policy("none")}
TASKS = {
    "car": Task(Policy("rect", widen=10, heighten=30)),
    "aircraft": Task(Policy("rect", widen=200, heighten=300), crop_bottom=20),
}


def find_task(name: str) -> Task:
    """The table's row for a task; square crops of whole images for a name that is not in it."""
    return TASKS.get(name, Task())


def parse_policy(word: str, task: str) -> Policy:
    """Read `auto` (the task's own), `square`, `none` or `rect:W,H` (percent to grow by); raises DataError otherwise."""
    if word == "auto":
        return find_task(task).policy
    if word in PLAIN:
        return PLAIN[word]
    try:
        shape, _, sizes = word.partition(":")
        widen, heighten = (float(size.strip().removesuffix("%")) for size in sizes.split(","))
        if shape == "rect" and all(-100 < percent < math.inf for percent in (widen, heighten)):
            return Policy("rect", widen, heighten)
    except ValueError:
        pass
    raise DataError(
        f"--policy {word}: expected auto, square, none or rect:W,H with the percentages to widen and heighten by, "
        "such as rect:10,30"
    )


def apply_policy(policy: Policy, box: Box, frame: Frame) -> Box:
    """The crop around a box, shifted inside the image and no larger than it; a square stays square."""
    width, height = box.x2 - box.x1, box.y2 - box.y1
    if policy.shape == "square":
        width = height = min(max(width, height), frame.width, frame.height)
    elif policy.shape == "rect":
        width, height = width * (1 + policy.widen / 100), height * (1 + policy.heighten / 100)
    return fit_box((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, width, height, frame)
