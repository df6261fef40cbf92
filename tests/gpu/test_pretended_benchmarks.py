"""Every benchmark with `--device cuda` where there is none: both sides find their tensors on one device."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

from tests.benchmarks.test_benchmarks import TINY
from tests.gpu.pretend import pretend_cuda


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*pin_memory")
@pytest.mark.parametrize("name", TINY)
def test_both_sides_run_on_one_device(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"benchmarks.{name.partition('-')[0]}")
    timed = importlib.import_module(f"benchmarks.timed.{name.partition('-')[0]}")
    if name == "ddt":  # a process of its own would have no device
        monkeypatch.setattr(timed, "measure_peak", lambda options, images: 1.0)
    if name == "retrieval":  # whose plain side looks for a query's number in its own ranking
        monkeypatch.setattr(timed, "retrieve_one_by_one", lambda *_, **__: SimpleNamespace(map=0.5))
    if name == "linear":  # which class has images to hold out is a number on the device
        monkeypatch.setattr(timed, "choose_rate", lambda *_: SimpleNamespace(rate=1.0, epoch=2))
    with pretend_cuda():
        module.main(["--quick", "--threads", "1", "--device", "cuda", *TINY[name]])
    assert f"RATIO {name} " in capsys.readouterr().out
