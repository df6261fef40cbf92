"""Two sides of a loss held at a ratio of how hard they pull, by the weight of one of them."""

from __future__ import annotations

import math
from typing import TypedDict

MOMENTUM = 0.98  # of the moving average: about the last 50 steps count
MOST = 1e6  # the factor stays within 1 / MOST and MOST, so that a side which has all but gone is not blown up


class Balanced(TypedDict, total=False):
    """A balance in a resume state, see `Balance`; empty where there is none."""

    average: float
    steps: int


class Balance:
    """Holds |distillation| : |contrast| at `ratio`, where | | is the norm of a side's gradient where the sides meet.

    `factor` multiplies the weight of the distillation. It follows a moving average of the logarithm of the two norms'
    own ratio, which single large steps hardly move, is 1 in the first step, and is constant within a step.
    """

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.average, self.steps = 0.0, 0

    @property
    def factor(self) -> float:
        """What the weight of the distillation is multiplied with in this step."""
        if not self.steps:
            return 1.0
        usual = self.average / (1 - MOMENTUM**self.steps)  # without its bias towards where it began (Adam's)
        least, most = -math.log(MOST), math.log(MOST)
        return math.exp(min(max(math.log(self.ratio) - usual, least), most))

    def observe(self, distillation: float, contrast: float) -> None:
        """Take in a step's norms, that of the distillation before `factor`; none of a side that is silent or infinite.
        """
        if not all(math.isfinite(norm) and norm > 0 for norm in (distillation, contrast)):
            return
        found = math.log(distillation) - math.log(contrast)
        self.average = MOMENTUM * self.average + (1 - MOMENTUM) * found
        self.steps += 1

    def state_dict(self) -> Balanced:
        """All that the next factors depend on."""
        return {"average": self.average, "steps": self.steps}

    def load_state_dict(self, state: Balanced) -> None:
        """Take it back; the ratio is the run's own."""
        self.average, self.steps = state["average"], state["steps"]
