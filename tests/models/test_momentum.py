"""Momentum update: the average, parts of a network, batch statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.momentum import frozen_copy, update_momentum


def make_network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_every_parameter_moves_by_one_minus_momentum() -> None:
    online = make_network()
    target = frozen_copy(make_network())
    before = {name: p.clone() for name, p in target.named_parameters()}
    update_momentum(online, target, 0.9)
    for name, p in online.named_parameters():
        torch.testing.assert_close(dict(target.named_parameters())[name], 0.9 * before[name] + 0.1 * p)
    assert not any(p.requires_grad for p in target.parameters())


@pytest.mark.parametrize("buffers, mean", [("keep", 0.0), ("copy", 2.0)])
def test_batch_statistics_follow_the_stated_policy(buffers: str, mean: float) -> None:
    online, target = make_network(), frozen_copy(make_network())
    online[1].running_mean.fill_(2)
    update_momentum(online, target, 0.5, buffers=buffers)
    assert target[1].running_mean.tolist() == [mean] * 4


def test_a_part_of_the_online_network_will_do() -> None:
    online = nn.ModuleDict({"body": nn.Linear(2, 2), "branch": nn.Linear(2, 1)})
    target = frozen_copy(nn.ModuleDict({"body": online["body"]}))
    online["body"].weight.data.add_(1)
    expected = online["body"].weight.detach() - 0.5
    update_momentum(online, target, 0.5)
    torch.testing.assert_close(target["body"].weight.detach(), expected)
    with pytest.raises(KeyError):
        update_momentum(target, online, 0.5)
