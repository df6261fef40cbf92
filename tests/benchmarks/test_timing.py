"""The stopwatch: turns, guard, last line."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from benchmarks.timing import BenchmarkOptions, Report, interleave, parse_benchmark


def test_works_take_turns_and_the_first_turn_is_not_counted() -> None:
    calls: list[str] = []
    seconds = interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4
    assert len(seconds["a"]) == len(seconds["b"]) == 3


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`wait(seconds)` moves the clock by exactly that, however busy the machine is."""
    passed = [0.0]

    def move(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: passed[0])
    return move


def test_a_reference_that_is_held_back_fails_the_benchmark(
    capsys: pytest.CaptureFixture[str], wait: Callable[[float], None]
) -> None:
    report = Report("thing", 3)
    report.check_reference("pass", 10, lambda: wait(0.03), lambda: wait(0.01))
    assert report.finish(12.345) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("REFERENCE pass ") and out.splitlines()[-1] == "RATIO thing 12.35"
    assert "pass at 0.33 of the bare module" in err


def test_a_fair_reference_passes(capsys: pytest.CaptureFixture[str], wait: Callable[[float], None]) -> None:
    report = Report("thing", 3)
    report.check_reference("pass", 10, lambda: wait(0.021), lambda: wait(0.02))
    assert report.finish(1.0) == 0
    assert capsys.readouterr().err == ""


def test_fewer_than_three_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_benchmark("text", BenchmarkOptions, ["--rounds", "2"])
    assert stopped.value.code == 2 and "--rounds is 2" in capsys.readouterr().err
