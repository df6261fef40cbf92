"""What stops a command, told apart by who can mend it; every message says what, where, and the remedy."""

from __future__ import annotations

from collections.abc import Sequence


class ConfigError(ValueError):
    """Flags that contradict each other or the data; the message lists every problem with its remedy."""


class DataError(ValueError):
    """Something about the user's data that the user can mend; the message says what, where, and how."""


class BrokenNetwork(DataError):
    """A network whose answers are no numbers; the message says of which pictures, and what to do."""


class WeightsError(ValueError):
    """Weights that are missing or do not fit; the message says what, where, and the remedy."""


class StopTraining(RuntimeError):
    """Training cannot go on (a loss is not a number, the disk is full); the message says what was saved and where."""


def refuse(problems: Sequence[str]) -> None:
    """Raise one ConfigError that lists all problems; do nothing when there are none."""
    if problems:
        head = "cannot start" if len(problems) == 1 else f"cannot start, {len(problems)} problems"
        raise ConfigError(head + ":\n" + "\n".join(f"  - {problem}" for problem in problems))
