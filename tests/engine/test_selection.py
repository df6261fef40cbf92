"""The best epoch so far: what is kept, and that it can be put back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.selection import Selection
from runtime.errors import StopTraining


def test_the_earliest_of_the_best_is_kept_and_survives_a_resume() -> None:
    network, selection = nn.Linear(2, 2), Selection("val_map_head")
    kept = None
    for epoch, value in enumerate((0.5, 0.7, None, 0.7, 0.6)):
        with torch.no_grad():
            network.weight.fill_(epoch)
        selection.consider(network, {} if value is None else {"val_map_head": value, "knn_head": 1 - value}, epoch)
        if epoch == 2:
            kept = Selection("")
            kept.load_state_dict(selection.state_dict())
            selection = kept
    assert (selection.epoch, selection.value, selection.number) == (1, 0.7, "val_map_head")
    assert selection.describe() == "epoch 2, the best by val_map_head (0.7000)"
    selection.restore(network)
    assert bool((network.weight == 1).all())


def test_nothing_is_selected_where_no_epoch_could_be_looked_at() -> None:
    selection = Selection("val_map")
    selection.consider(nn.Linear(1, 1), {}, 0)
    selection.consider(nn.Linear(1, 1), {"val_map": float("nan")}, 1)
    with pytest.raises(StopTraining, match="no epoch has a val_map"):
        selection.restore(nn.Linear(1, 1))


def test_the_start_can_be_the_best() -> None:
    network, selection = nn.Linear(1, 1), Selection("good")
    selection.consider(network, {"good": 2.0}, -1)
    selection.consider(network, {"good": 1.0}, 0)
    selection.restore(network)
    assert selection.epoch == -1 and selection.describe().startswith("the start, ")
