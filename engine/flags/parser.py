"""Flags, the vocabulary of every command: `-` and `_` are one letter, booleans real; what was given is known."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import NoReturn

from engine.flags.gathering import GatheringParser, close_switches
from runtime.given import list_given
from runtime.names.hub import strip_hub


def boolean(text: str) -> bool:
    """"true", "yes", "1", "on" or their opposites, so that `--cos false` means what it says."""
    answers = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
    if text.lower() not in answers:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return answers[text.lower()]


def architecture(text: str) -> str:
    """A timm name, also as a hub prints it; "clip" is what the public LEAD code calls its ResNet-50."""
    name = strip_hub(text)
    return "resnet50" if name == "clip" else name


class Flags(argparse.Namespace):
    """Parsed flags that know which of them the user gave, see `list_given`, and what each may be.

    That is kept in slots: no flags themselves, and vars() and args.json are without them.
    """

    __slots__ = ("_actions", "_given")

    def __init__(self, **flags: object) -> None:
        super().__init__(**flags)
        self._given: dict[str, str] = {}
        self._actions: dict[str, argparse.Action] = {}


def take_out(args: argparse.Namespace, name: str) -> object:
    """Remove a flag that is no part of what a command does; its value, None where it was not given."""
    list_given(args).pop(name, None)
    return vars(args).pop(name, None)


def imply(args: argparse.Namespace, word: str, *names: str) -> None:
    """Count flags as given that another word of the user's decides: `-a resnet50_double` decides the pooling."""
    if isinstance(args, Flags):
        args._given = {**dict.fromkeys(names, word), **args._given}


PLACES = ("out", "results_dir", "cache", "write")  # where things go: an empty word would be the current folder


class Parser(GatheringParser):
    """argparse where `--moco_dim` and `--moco-dim` are the same flag and presets can be laid under the user's words."""

    def __init__(self, prog: str | None = None, description: str | None = None, *, epilog: str | None = None) -> None:
        super().__init__(prog, description, epilog=epilog)
        self._seen: set[str] = set()
        self.folder: str | None = None  # the flag that a word without a flag stands for

    def error(self, message: str) -> NoReturn:
        """One line in place of the whole usage, with the flags that look like an unknown one."""
        known = [flag for action in self._actions for flag in action.option_strings]
        words = [word for word in message.split() if word.startswith("--")]
        close = [match for word in words for match in difflib.get_close_matches(word, known, 2) if match not in words]
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        more = "".join(f"\n  - {fault}" for fault in self.faults)
        self.exit(2, f"{self.prog}: error: {message}.{hint} --help lists all flags{more}\n")

    def _parse(
        self, args: Sequence[str] | None, namespace: argparse.Namespace | None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Spell every flag with dashes first; a `Flags` comes back unless a namespace is given."""
        words = [spell_flag(word) for word in (sys.argv[1:] if args is None else args)]
        self._seen.clear()
        if self.folder:
            words = close_switches(words, [action for action in self._actions if action.type is boolean])
        found, rest = super()._parse(words, Flags() if namespace is None else namespace)
        if self.folder and len(rest) == 1 and not rest[0].startswith("-") and self.folder not in self._seen:
            setattr(found, self.folder, rest.pop())
            self._seen.add(self.folder)
        if isinstance(found, Flags):
            spelled = {word.partition("=")[0] for word in words}
            found._actions = {action.dest: action for action in reversed(self._actions)}
            found._given = {action.dest: next((flag for flag in action.option_strings if flag in spelled),
                                              action.option_strings[-1])
                            for action in self._actions if action.dest in self._seen and action.option_strings}
        return found, rest

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        """argparse's own, which it asks for the flags of the command line only: a default never passes here."""
        if action.option_strings:
            self._seen.add(action.dest)
        if action.dest in PLACES and len(arg_strings) == 1 and not arg_strings[0].strip():
            self._add_fault(action, "is an empty word, perhaps a variable that is not set; name a place")
        return super()._get_values(action, arg_strings)


def spell_flag(word: str) -> str:
    """`--num_workers=4` -> `--num-workers=4`; values keep their underscores."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value


def toggle(group: argparse._ArgumentGroup, name: str, default: bool | None, text: str) -> None:
    """Add a boolean flag: `--name`, `--name true`, `--name false`."""
    group.add_argument(name, type=boolean, nargs="?", const=True, default=default, metavar="BOOL", help=text)




















