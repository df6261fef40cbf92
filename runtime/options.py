"""Options: frozen dataclasses whose fields say how a command line gives them; programs make them by keyword.

A class of options is what a function reads; a command's class inherits the groups that it needs. `flag` and `switch`
declare a field: its default, what its words may be, and one line of help.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from runtime.errors import ConfigError, DataError, WeightsError
from runtime.ranges import SEED, THREADS
from runtime.words import boolean, device

if TYPE_CHECKING:
    from typing_extensions import Self

Kind = Callable[[str], object]


@dataclass(frozen=True)
class Flag:
    """How a command line gives a field: further spellings, what reads a word, known words, how many there are."""

    names: tuple[str, ...]
    help: str
    kind: Kind | None = None
    choices: tuple[str, ...] | None = None
    nargs: int | str | None = None
    const: object = None
    metavar: str | tuple[str, ...] | None = None
    negation: bool = False
    required: bool = False
    repeated: bool = False
    place: bool = False


def flag(
    default: object, kind: Kind | tuple[str, ...] | None, help: str, *names: str, nargs: int | str | None = None,
    const: object = None, metavar: str | tuple[str, ...] | None = None, required: bool = False,
) -> Any:
    """A field that `--its-name WORD` sets; `kind` reads the word, or is the tuple of known words, or None for any text.

    `names` are further spellings of the flag; where its own is among them, their order is that of --help.
    """
    choices = kind if isinstance(kind, tuple) else None
    reader = None if isinstance(kind, tuple) else kind
    return field(default=default, metadata={"flag": Flag(names, help, reader, choices, nargs, const, metavar,
                                                         required=required)})


def word(
    help: str, metavar: str | None, kind: Kind | tuple[str, ...] | None = None, *, nargs: str | None = None
) -> Any:
    """A field that a word without a flag sets, at its place in the command line; with `nargs` "+" several words do.

    `kind` as in `flag`; where it is the known words, `metavar` None shows them.
    """
    choices = kind if isinstance(kind, tuple) else None
    reader = None if isinstance(kind, tuple) else kind
    return field(metadata={"flag": Flag((), help, reader, choices, nargs, metavar=metavar, place=True)})


def repeated(help: str, metavar: str, kind: Kind | None = None, *, required: bool = False) -> Any:
    """A field of texts, or of what `kind` reads of them, to which each `--its-name WORD` adds one."""
    return field(default=(), metadata={"flag": Flag((), help, kind, metavar=metavar, required=required,
                                                    repeated=True)})


def switch(default: bool | None, help: str, *names: str, negation: bool = False) -> Any:
    """A field that `--its-name`, `--its-name true` and `--its-name false` set; with `negation` also `--no-its-name`."""
    return field(default=default, metadata={"flag": Flag(names, help, boolean, nargs="?", const=True, metavar="BOOL",
                                                         negation=negation)})


def again(options: type[Options], name: str, default: object, *, required: bool = False) -> Any:
    """The field of that name of another class of options, with another default, or `required`."""
    spec = options.__dataclass_fields__[name].metadata["flag"]
    return field(default=default, metadata={"flag": replace(spec, required=required)})


@dataclass(frozen=True, kw_only=True)
class Options:
    """The base of all options. `given`: which of them the user gave, each with the words that gave it."""

    title: ClassVar[str | None] = None  # over a group of flags in --help
    # Names that states of runs keep for options that were renamed since: such runs can be continued.
    called: ClassVar[Mapping[str, str]] = {}

    given: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def settings(self) -> dict[str, Any]:
        """Every option by its name, as args.json keeps them; which ones were given is no part of it."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "given"}

    @classmethod
    def read(cls, settings: Mapping[str, Any], given: Mapping[str, str] | None = None) -> Self:
        """Options of these settings (of args.json, or parsed flags); names that are unknown here are passed over."""
        known = {one.name for one in fields(cls)} - {"given"}
        values = {name: freeze(value) for name, value in settings.items() if name in known}
        return cls(**values, given=dict(given or {}))

    def identify(self, free: Collection[str]) -> str:
        """The settings but for those that are `free` to differ, as one line of JSON: equal for equal runs."""
        flags = {self.called.get(name, name): value for name, value in self.settings().items() if name not in free}
        return json.dumps(flags, sort_keys=True, default=str)


def freeze(value: object) -> object:
    """Lists as tuples, so that options cannot change."""
    return tuple(freeze(one) for one in value) if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True)
class MachineOptions(Options):
    """Where and how precisely the numbers are computed."""

    title: ClassVar[str | None] = "machine"

    device: str = flag("auto", device, "cpu, cuda, or auto = cuda where there is one")
    precision: str = flag("auto", ("auto", "fp32", "bf16", "fp16"), "auto = whichever is faster for this network "
                          "here, measured once and stored")
    threads: int = flag(0, THREADS, "CPU threads a process, 0 = torch's choice", metavar="N")
    seed: int = flag(123, SEED, "everything random is a function of it")


def list_given(options: Options | argparse.Namespace) -> Mapping[str, str]:
    """The options (by their names) that the user gave, each with the flag that gave it; {} where a program did."""
    return getattr(options, "given", {})


@contextmanager
def name_flags(options: Options, *names: str) -> Iterator[None]:
    """Refusals from within begin with those of these flags that were given, in the user's words: `-a: unknown ...`.

    What names a flag already keeps its words.
    """
    words = ", ".join(dict.fromkeys(list_given(options)[name] for name in names if name in list_given(options)))
    try:
        yield
    except (ConfigError, DataError, WeightsError) as error:
        if not words or str(error).startswith(("-", "cannot start")):
            raise
        raise type(error)(f"{words}: {error}") from error
