"""Which epoch's network a run ends with: the best one on validation images; test images choose nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypedDict

from torch import Tensor, nn

from runtime.errors import StopTraining


class Kept(TypedDict):
    """A selection in a resume state, see `Selection`."""

    number: str
    epoch: int
    value: float
    weights: dict[str, Tensor]


class Selection:
    """Keeps the weights of the best of the epochs that were looked at; equal numbers keep the earlier one.

    `number` is the monitor's name of what counts, higher being better. `epoch` counts from 0 and is -1 for the start
    weights, where they are looked at, too. It is part of the resume state, so that a continued run chooses as an
    uninterrupted one does.
    """

    def __init__(self, number: str) -> None:
        self.number = number
        self.epoch, self.value = -1, -math.inf
        self.weights: dict[str, Tensor] = {}

    def consider(self, network: nn.Module, row: Mapping[str, float | list[float]], epoch: int) -> None:
        """Keep the network if the monitors' row of this epoch has a better number than all before it."""
        value = row.get(self.number, -math.inf)
        assert not isinstance(value, list), f"{self.number} is a histogram"
        if value > self.value:  # never true of NaN
            self.epoch, self.value = epoch, value
            self.weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}

    def restore(self, network: nn.Module) -> None:
        """Put the best weights into the network; raises StopTraining when no epoch could be looked at."""
        if not self.weights:
            raise StopTraining(f"no epoch has a {self.number} to be selected by (see the warnings above); the last "
                               "epoch's network is kept as model_last.pth")
        network.load_state_dict(self.weights)

    def describe(self) -> str:
        """For the ledger: which epoch it is (from 1) and by what."""
        when = f"epoch {self.epoch + 1}" if self.epoch >= 0 else "the start"
        return f"{when}, the best by {self.number} ({self.value:.4f})"

    def state_dict(self) -> Kept:
        """All that was kept."""
        return {"number": self.number, "epoch": self.epoch, "value": self.value, "weights": self.weights}

    def load_state_dict(self, state: Kept) -> None:
        """Take it back."""
        self.number, self.epoch, self.value = state["number"], state["epoch"], state["value"]
        self.weights = state["weights"]
