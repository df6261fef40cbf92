"""Ensembles of branches against a plain loop, and what both orders share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.metrics.ensembles import ensemble, find_global


@pytest.fixture
def logits() -> dict[str, Tensor]:
    """Five branches of 40 images and 6 classes, of unequal confidence."""
    names = ("layer1", "layer2", "layer3", "layer4", "combiner")
    return {name: (place + 1) * torch.randn(40, 6) for place, name in enumerate(names)}


def add_up(logits: dict[str, Tensor], order: str, count: int) -> np.ndarray:
    """The mean of the `count` most (or least) confident branches of every image."""
    rows = []
    for image in range(40):
        shares = []
        for values in logits.values():
            powers = np.exp(values[image].double().numpy())
            shares.append(powers / powers.sum())
        shares.sort(key=lambda one: one.max(), reverse=order == "descending")
        rows.append(sum(shares[:count]) / count)
    return np.stack(rows)


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_ensembles_equal_a_plain_loop(logits: dict[str, Tensor], order: str) -> None:
    found = ensemble(logits, order)
    assert list(found) == [f"highest-{count}" for count in range(1, 6)]
    for count in range(1, 6):
        np.testing.assert_allclose(found[f"highest-{count}"].numpy(), add_up(logits, order, count), atol=1e-5)


def test_all_branches_are_the_same_in_both_orders(logits: dict[str, Tensor]) -> None:
    falling, rising = ensemble(logits), ensemble(logits, "ascending")
    assert torch.equal(falling["highest-5"], rising["highest-5"])
    assert not torch.equal(falling["highest-1"], rising["highest-1"])
    assert (falling["highest-1"].amax(1) >= rising["highest-1"].amax(1)).all()


def test_rows_are_probabilities(logits: dict[str, Tensor]) -> None:
    for shares in ensemble(logits).values():
        assert torch.allclose(shares.sum(1), torch.ones(40)) and (shares >= 0).all()


def test_fewer_branches() -> None:
    one = torch.randn(3, 4)
    assert ensemble({}) == {} and torch.allclose(ensemble({"layer1": one})["highest-1"], one.softmax(1))
    assert list(ensemble({"layer1": one, "combiner": one})) == ["highest-1", "highest-2"]


def test_global_branches_in_order() -> None:
    names = dict.fromkeys(("combiner", "layer10", "layer2", "select_layer1", "cls", "layer1"))
    assert find_global(names) == ["layer1", "layer2", "layer10", "combiner"]
    assert find_global({"cls": 0, "dist": 0, "average": 0}) == []
