"""Flags, the vocabulary of every command: `-` and `_` are one letter, booleans real; what was given is known."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import NoReturn, TypeVar

from engine.flags.gathering import GatheringParser, close_switches
from runtime.errors import Problems
from runtime.options import Flag, Options, list_given
from runtime.words import boolean

Told = TypeVar("Told", bound=Options)


class Flags(argparse.Namespace):
    """Parsed flags that know which of them the user gave, see `list_given`, and what each may be.

    That is kept in slots: no flags themselves, and vars() and args.json are without them.
    """

    __slots__ = ("_actions", "given")

    def __init__(self, **flags: object) -> None:
        super().__init__(**flags)
        self.given: dict[str, str] = {}
        self._actions: dict[str, argparse.Action] = {}


def take_out(args: argparse.Namespace, name: str) -> object:
    """Remove a flag that is no part of what a command does; its value, None where it was not given."""
    if isinstance(args, Flags):
        args.given.pop(name, None)
    return vars(args).pop(name, None)


def imply(args: argparse.Namespace, word: str, *names: str) -> None:
    """Count flags as given that another value of the user's decides: `-a resnet50_double` decides the pooling."""
    if isinstance(args, Flags):
        args.given = {**dict.fromkeys(names, word), **args.given}


PLACES = ("out", "results_dir", "cache", "write")  # where things go: an empty value would be the current folder


class Parser(GatheringParser):
    """argparse where `--moco_dim` and `--moco-dim` are the same flag and presets fill in what the user did not give."""

    def __init__(self, prog: str | None = None, description: str | None = None, *, epilog: str | None = None) -> None:
        super().__init__(prog, description, epilog=epilog)
        self._seen: set[str] = set()
        self.folder: str | None = None  # the flag that a positional argument stands for

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
            found.given = {action.dest: next((flag for flag in action.option_strings if flag in spelled),
                                             action.option_strings[-1])
                           for action in self._actions if action.dest in self._seen and action.option_strings}
        return found, rest

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        """argparse's own, which it asks for the flags of the command line only: a default never passes here."""
        if action.option_strings:
            self._seen.add(action.dest)
        if action.dest in PLACES and len(arg_strings) == 1 and not arg_strings[0].strip():
            self._add_fault(action, "is empty, perhaps a variable that is not set; give a path")
        return super()._get_values(action, arg_strings)


def spell_flag(word: str) -> str:
    """`--num_workers=4` -> `--num-workers=4`; values keep their underscores."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value


def add_options(parser: Parser, options: type[Options]) -> None:
    """Add the flags of a class of options: its own first, then those of the classes that it inherits."""
    known = {one.name: one for one in fields(options) if "flag" in one.metadata}
    groups: dict[str | None, argparse._ActionsContainer] = {None: parser}
    for owner in options.__mro__:
        for name in vars(owner).get("__annotations__", {}):
            if name in known:
                title = find_home(options, name).title
                if title not in groups:
                    groups[title] = parser.add_argument_group(title)
                declared = known.pop(name)
                add_flag(groups[title], name, declared.default, declared.metadata["flag"])


def gather_options(parser: Parser, options: type[Told], argv: Sequence[str] | None) -> tuple[Told, Problems]:
    """The options of a command line and what was refused of it; a command adds its own problems, and refuses."""
    args, problems = parser.gather(argv)
    return options.read(vars(args), list_given(args)), problems


def find_home(options: type[Options], name: str) -> type[Options]:
    """The class that declared a field's flag first: one that only changes its default leaves it in its group."""
    spec = options.__dataclass_fields__[name].metadata["flag"]
    bases = [base for base in options.__mro__
             if issubclass(base, Options) and name in vars(base).get("__annotations__", {})]
    return next(base for base in reversed(bases)
                if base.__dataclass_fields__[name].metadata.get("flag") is spec)


def add_flag(group: argparse._ActionsContainer, name: str, default: object, spec: Flag) -> None:
    """Add one flag under `--its-name` and its other spellings; argparse keeps it as `name`."""
    kind = spec.kind or str
    if spec.place:
        group.add_argument(name, type=kind, choices=spec.choices, nargs=spec.nargs, metavar=spec.metavar,
                           help=spec.help)
        return
    own = f"--{name.replace('_', '-')}"
    short = [other for other in spec.names if not other.startswith("--")]
    spellings = [*short, own, *(other for other in spec.names if other not in short)]
    if own in spec.names:
        spellings = list(spec.names)
    usual = list(default) if isinstance(default, tuple) else default
    if spec.repeated:
        group.add_argument(*spellings, dest=name, action="append", type=kind, help=spec.help,
                           default=None if spec.required else usual, metavar=spec.metavar, required=spec.required)
        return
    group.add_argument(*spellings, dest=name, type=kind, default=usual, help=spec.help, choices=spec.choices,
                       nargs=spec.nargs, const=spec.const, metavar=spec.metavar, required=spec.required)
    if spec.negation:
        group.add_argument(f"--no-{own[2:]}", dest=name, action="store_false", default=argparse.SUPPRESS,
                           help=f"the same as {own} false")
