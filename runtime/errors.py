"""What stops a command, told apart by who can fix it; every message says what, where, and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Result = TypeVar("Result")


class ConfigError(ValueError):
    """Flags that contradict each other or the data; the message lists every problem with its remedy.

    `problems` are the lines of that list, so that several refusals can be joined in one message.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)


class DataError(ValueError):
    """Something about the user's data that the user can fix; the message says what, where, and how."""


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
        raise ConfigError(head + ":\n" + "\n".join(f"  - {problem}" for problem in problems), problems)


class Problems:
    """Collects what the user has to fix, so that one message names all of it before any work is done."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self.lines = list(lines)

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """What `work` returns; None where it raises an error of the user's, whose lines are kept."""
        try:
            return work()
        except (ConfigError, DataError, WeightsError) as error:
            self.lines += error.problems if isinstance(error, ConfigError) else [str(error)]
            return None

    def have(self, value: Result | None) -> Result:
        """What `attempt` returned, once `refuse` has let it pass: nothing failed, so it is there."""
        assert value is not None and not self.lines, "ask for it after refuse()"
        return value

    def refuse(self, *rest: Callable[[], object]) -> None:
        """Raise one ConfigError if there are any problems; only then `rest` is attempted too, so that it names all."""
        if self.lines:
            for work in rest:
                self.attempt(work)
        refuse(list(dict.fromkeys(self.lines)))
