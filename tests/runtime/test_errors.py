"""Problems are gathered, refused together, and what was attempted without one is there afterwards."""

from __future__ import annotations

import pytest

from runtime.errors import ConfigError, DataError, Problems


def fail() -> int:
    raise DataError("no such folder")


def test_what_was_attempted_is_there_after_refuse() -> None:
    problems = Problems()
    found = problems.attempt(lambda: 0)
    problems.refuse()
    assert problems.have(found) == 0


def test_all_problems_are_refused_at_once() -> None:
    problems = Problems(["--lr is 2"])
    assert problems.attempt(fail) is None
    with pytest.raises(ConfigError, match="2 problems:\n  - --lr is 2\n  - no such folder"):
        problems.refuse()


def test_nothing_is_had_of_an_attempt_that_failed() -> None:
    problems = Problems()
    with pytest.raises(AssertionError, match="after refuse"):
        problems.have(problems.attempt(fail))


def test_nothing_is_had_while_problems_wait() -> None:
    with pytest.raises(AssertionError, match="after refuse"):
        Problems(["--lr is 2"]).have(1)
