"""Flags that only some choices read: beside another choice they are refused or noted before anything is computed.

A flag of ours is refused. One that a public code has as well, and does not read there either, is noted and changes
nothing, so that the command lines its users know keep working.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.flags.parser import Parser, take_out
from runtime.options import Options, list_given

Test = Callable[[Any], bool]  # of the options of one command
NOTHING = (None, "none", "auto")  # words that ask for nothing
COSINES = ("cosine", "cosine-epoch", "cosine-moco", "cosine-late", "cosine-pim")  # schedules with an end


def never(_: object) -> bool:
    """The flags are of no public code."""
    return False


def method(*names: str) -> Test:
    """Whether one of these methods was chosen."""
    return lambda options: options.method in names


def describe_unread(*names: str) -> str:
    """The same in words."""
    return f"--method {' or '.join(names)}"


def always(_: object) -> bool:
    """The flags are of the public code whatever the other choices."""
    return True


@dataclass(frozen=True)
class Readers:
    """The flags `dests` (argparse's names), and who reads them: `reads` as a test, `who` in the words of a message.

    `public` says where a public code has the flags without reading them; there they are noted, elsewhere refused.
    """

    dests: tuple[str, ...]
    who: str
    reads: Test
    public: Test = never


# What is said of a training has nothing to say where a finished network is evaluated.
OF_TRAINING = (Readers(("plan", "gradient_every", "log_every"), "a training, not where a network is evaluated", never),)


def find_unread(options: Options, table: Iterable[Readers]) -> list[str]:
    """A problem line for each row of the table with flags that were given and that nothing would read."""
    return [f"{', '.join(names)}: read only with {row.who}; leave {'it' if len(names) == 1 else 'them'} out"
            for row, names in _list_unread(options, table) if not row.public(options)]


def note_unread(options: Options, table: Iterable[Readers], silent: Sequence[str], more: str) -> None:
    """One note for all given flags without effect here: those of public codes, and the `silent` ones; `more` to say."""
    named = list(silent)
    named += [f"{name} (read only with {row.who})" for row, names in _list_unread(options, table) if row.public(options)
              for name in names]
    if named:
        print(f"note: {', '.join(named)} without effect here; {more}", file=sys.stderr)


def find_doubles(options: Options, *pairs: tuple[str, str]) -> list[str]:
    """A problem line for each pair of flags (argparse's names) that say the same thing and were both given."""
    own = list_given(options)
    return [f"{own[one]} and {own[other]} say the same thing in two ways; give one" for one, other in pairs
            if one in own and other in own and own[one].split()[0] != own[other].split()[0]]


def take_silent(args: argparse.Namespace, flags: Iterable[str]) -> list[str]:
    """Those of these flags that were given; all of them leave `args`: they are no part of what a run is."""
    return [flag for flag in flags if take_out(args, to_dest(flag)) is not None]


def add_silent(parser: Parser, flags: Iterable[str], *, nargs: str = "*") -> None:
    """Accept flags of public codes whose work is done otherwise here."""
    for flag in flags:
        parser.add_argument(flag, nargs=nargs, const="" if nargs == "?" else None, default=None,
                            help=argparse.SUPPRESS)


def to_dest(flag: str) -> str:
    """`--log-dir` -> `log_dir`."""
    return flag.lstrip("-").replace("-", "_")


def _list_unread(options: Options, table: Iterable[Readers]) -> list[tuple[Readers, list[str]]]:
    values = options.settings()
    asked = {name: word for name, word in list_given(options).items() if values.get(name) not in NOTHING}
    rows = [(row, sorted(asked[name] for name in row.dests if name in asked)) for row in table
            if not row.reads(options)]
    return [(row, words) for row, words in rows if words]
