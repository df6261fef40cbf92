"""The cost of a step on two processes is measured by runs as users start them."""

from __future__ import annotations

import re

import pytest

from benchmarks.costs.ranks import main


@pytest.mark.slow
def test_both_are_timed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--images", "8", "--batch", "4"]) == 0
    told = re.search(r"a step of 4 images: (\S+) s on 1 process, (\S+) s on 2: (\S+) of it", capfd.readouterr().out)
    assert told is not None and all(float(number) > 0 for number in told.groups())
