"""Flags that every command has and that are no options of its work."""

from __future__ import annotations

import argparse
import sys

from datasets.layouts.findings import FLAG, VOICE
from engine.flags.parser import Parser, take_out
from runtime.words import boolean

IGNORED = ("--world-size", "--port", "--dist-url", "--dist-backend", "--rank", "--gpu", "--multiprocessing-distributed")


def add_ignored(parser: Parser) -> None:
    """Accept the launch flags of older scripts that are none of ours; `warn_ignored` says that they do nothing."""
    for flag in (flag for flag in IGNORED if flag not in parser._option_string_actions):
        switch = flag == "--multiprocessing-distributed"
        parser.add_argument(flag, nargs="?", const="true", default=None, help=argparse.SUPPRESS,
                            type=boolean if switch else str, dest=name_ignored(flag))


def name_ignored(flag: str) -> str:
    """What a launch flag is called among the parsed ones: apart from an option that has its name elsewhere."""
    return f"launch_{flag[2:].replace('-', '_')}"


def warn_ignored(args: argparse.Namespace) -> None:
    """One warning for all launch flags that were given but have no effect here; they leave the flags."""
    asked = [flag for flag in IGNORED if take_out(args, name_ignored(flag)) is not None]
    if asked:
        print(f"note: {', '.join(asked)} ignored; the starter's environment decides about processes", file=sys.stderr)


class ListLeftOut(argparse.Action):
    """The flag that asks for every file that is left out of a data set; no part of a run's settings."""

    def __call__(self, *_: object) -> None:
        """Have the list printed after the line that says what was found."""
        VOICE.in_full = True


def add_list_left_out(group: argparse._ActionsContainer) -> None:
    """Add `--list-left-out`, which every command that reads photographs has."""
    group.add_argument(FLAG, action=ListLeftOut, nargs=0, dest=argparse.SUPPRESS, default=argparse.SUPPRESS,
                       help="name every file of the data set that is not read, and why")
