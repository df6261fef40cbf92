"""One image at a time and batch normalisation: refused before training, and only where statistics are learnt."""

from __future__ import annotations

from argparse import Namespace

import pytest

from engine.batch_norm import check_batch_norm
from models.backbones import Backbone, freeze_batch_norm
from runtime.errors import ConfigError


def flags(batch: int, accum: int = 1, **more: object) -> Namespace:
    return Namespace(**{"batch_size": batch, "accum_steps": accum, "sync_bn": True, "frozen_bn": False, "device": "cpu",
                        **more})


@pytest.mark.parametrize("batch,accum,words", [(1, 1, "take a larger --batch-size, --frozen-bn"),
                                               (4, 4, "fewer than 4 micro-batches")])
def test_one_image_at_a_time_is_refused_with_what_helps(batch: int, accum: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check_batch_norm(flags(batch, accum), Backbone("test_resnet"))
    assert "net.bn1" in str(caught.value) and "vision transformer" in str(caught.value)


def test_networks_and_batches_that_can_learn_are_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Backbone("test_resnet")
    check_batch_norm(flags(1), Backbone("test_vit"))
    check_batch_norm(flags(2), network)
    check_batch_norm(flags(1, frozen_bn=True), network, frozen=True)
    freeze_batch_norm(network)
    check_batch_norm(flags(1, frozen_bn=True), network)
    monkeypatch.setattr("runtime.distributed.world", lambda: 2)
    check_batch_norm(flags(2, device="cuda"), Backbone("test_resnet"))  # statistics over both processes
    with pytest.raises(ConfigError, match="one image at a time"):
        check_batch_norm(flags(2), Backbone("test_resnet"))
