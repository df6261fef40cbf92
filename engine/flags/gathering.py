"""argparse that goes on after a fault, so that one message names every flag that is wrong."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

from runtime.errors import Problems, refuse

FAULTY = object()  # stands where a value was refused, until the default takes its place
NEGATIVE = re.compile(r"^-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|^-(inf|infinity|nan)$", re.IGNORECASE)


class GatheringParser(argparse.ArgumentParser):
    """An ArgumentParser that lists all refused values (of ranges, types and choices) in one ConfigError."""

    def __init__(self, prog: str | None = None, description: str | None = None, *, epilog: str | None = None) -> None:
        super().__init__(prog, description=description, epilog=epilog, allow_abbrev=False,
                         formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        self._negative_number_matcher = NEGATIVE  # argparse's own takes -1e5 and -inf for flags
        self.faults: list[str] = []
        self._words: list[str] = []
        self._refused: set[str] = set()  # flags whose value is no choice of theirs

    def parse_args(  # type: ignore[override]  # argparse returns the class it was given, ours a Namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """The flags; raises ConfigError with every fault, exits with 2 where the line itself cannot be read."""
        found, problems = self.gather(args, namespace)
        problems.refuse()
        return found

    def gather(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, Problems]:
        """The flags, defaults in place of what was refused, and what was refused: a command adds its own problems.

        So one message names both; the command has to `refuse` them.
        """
        found, unknown = self._parse(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, Problems(self.faults)

    def gather_known(self, args: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str], Problems]:
        """The same where words that are no flags here may stand: they come second."""
        found, unknown = self._parse(args, None)
        return found, unknown, Problems(self.faults)

    def parse_known_args(  # type: ignore[override]  # the same
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """argparse's own; raises ConfigError with every fault."""
        found, unknown = self._parse(args, namespace)
        refuse(self.faults)
        return found, unknown

    def _parse(
        self, args: Sequence[str] | None, namespace: argparse.Namespace | None
    ) -> tuple[argparse.Namespace, list[str]]:
        self._refused.clear()
        self.faults, self._words = [], list(sys.argv[1:] if args is None else args)
        found, unknown = super().parse_known_args(self._words, namespace)
        for action in self._actions:
            self._mend(found, action)
        return found, unknown

    def _mend(self, found: argparse.Namespace, action: argparse.Action) -> None:
        value = getattr(found, action.dest, None)
        parts = value if isinstance(value, list) else [value]
        if action.dest in self._refused or any(part is FAULTY for part in parts):
            self._refused.discard(action.dest)
            if action.default is argparse.SUPPRESS:
                delattr(found, action.dest)
            else:
                setattr(found, action.dest, action.default)

    def _get_value(self, action: argparse.Action, arg_string: str) -> object:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            self._add_fault(action, error.message)
            return FAULTY

    def _check_value(self, action: argparse.Action, value: object) -> None:
        try:
            if value is not FAULTY:
                super()._check_value(action, value)
        except argparse.ArgumentError as error:
            self._add_fault(action, error.message)
            self._refused.add(action.dest)

    def _add_fault(self, action: argparse.Action, message: str) -> None:
        name = self._name(action)
        self.faults.append(f"{name} {message}" if message.startswith("is ") else f"{name}: {message}")

    def _name(self, action: argparse.Action) -> str:
        """The flag as the user wrote it, else its first long name."""
        written = {word.partition("=")[0] for word in self._words}
        used = [flag for flag in action.option_strings if flag in written]
        long = [flag for flag in action.option_strings if flag.startswith("--")]
        return (used or long or [action.metavar if isinstance(action.metavar, str) else action.dest])[0]


def close_switches(words: list[str], switches: Sequence[argparse.Action]) -> list[str]:
    """`--cos DIR` -> `--cos=true DIR` where DIR is a folder, so that a switch does not take it for its value."""
    flags = {flag for action in switches for flag in action.option_strings}
    closes = [word in flags and os.path.isdir(after) for word, after in zip(words, [*words[1:], ""])]
    return [f"{word}=true" if close else word for word, close in zip(words, closes)]
