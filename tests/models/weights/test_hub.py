"""Nothing asks the network unless told to, and where there is none that is said at once."""

from __future__ import annotations

import os
import socket

import pytest
from huggingface_hub import constants

from models import backbones
from models.backbones import build_backbone
from models.teachers.build import build_teacher
from models.weights import hub
from runtime.errors import WeightsError


@pytest.fixture
def no_answer(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A network that refuses every connection at once; who was asked."""
    asked: list[object] = []

    def refuse(place: object, **_options: object) -> None:
        asked.append(place)
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(hub.urllib.request, "getproxies", dict)
    return asked


def test_hub_without_network_is_one_question_and_one_message(no_answer: list[object]) -> None:
    with pytest.raises(WeightsError, match="could not get timm's weights of test_resnet .*cannot be reached.*give its path"):
        build_backbone("timm/test_resnet", "hub")
    with pytest.raises(WeightsError, match="could not get open_clip's weights openai of ViT-B-16 .*cannot be reached"):
        build_teacher("clip", weights="hub", precision="fp32")
    assert len(no_answer) == 2


def test_nothing_else_asks(no_answer: list[object]) -> None:
    build_backbone("test_resnet", "none")
    with pytest.raises(WeightsError, match="tokenizer that is not in the hub's cache, and nothing is downloaded unless"):
        from models.teachers.pretrained_clip import _find_tokenizer
        _find_tokenizer("ViT-B-16-SigLIP", asked=False)
    assert no_answer == []


def test_without_network_the_cache_alone_is_read_and_all_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    before = constants.HF_HUB_OFFLINE
    with hub.no_network():
        assert constants.HF_HUB_OFFLINE is True and os.environ["HF_HUB_OFFLINE"] == "1"
    assert constants.HF_HUB_OFFLINE is before and "HF_HUB_OFFLINE" not in os.environ
    assert os.environ["TRANSFORMERS_OFFLINE"] == "0"


def test_what_the_cache_has_is_taken_without_network(no_answer: list[object]) -> None:
    assert hub.download(lambda: "network", "weights", "remedy") == "network"


def test_an_error_of_the_client_is_told_with_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise ConnectionError("broken line\nsecond line")

    monkeypatch.setattr(hub, "is_reachable", lambda: True)
    monkeypatch.setattr(backbones.timm, "create_model", fail)
    with pytest.raises(WeightsError, match=r"\(ConnectionError: broken line\)\. Without network"):
        build_backbone("resnet18", "hub")
