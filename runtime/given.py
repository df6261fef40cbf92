"""Which flags the user gave, in whose words messages speak."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import ConfigError, DataError, WeightsError


def list_given(args: argparse.Namespace) -> dict[str, str]:
    """The flags (by the names that `args` has them under) that the user gave, each with the word that gave it."""
    return getattr(args, "_given", {})


@contextmanager
def name_flags(args: argparse.Namespace, *names: str) -> Iterator[None]:
    """Refusals from within begin with those of these flags that were given, in the user's words: `-a: unknown ...`.

    What names a flag already keeps its words.
    """
    words = ", ".join(dict.fromkeys(list_given(args)[name] for name in names if name in list_given(args)))
    try:
        yield
    except (ConfigError, DataError, WeightsError) as error:
        if not words or str(error).startswith(("-", "cannot start")):
            raise
        raise type(error)(f"{words}: {error}") from error
