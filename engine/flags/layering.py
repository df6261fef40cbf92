"""From a command line to options: presets of a method, a data set, a recipe, and the user's own flags over them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

from engine.flags.absent import check_present
from engine.flags.groups import warn_ignored
from engine.flags.parser import Parser
from engine.flags.presets import Presets
from engine.flags.unread import Readers, find_unread, note_unread, take_silent
from engine.options import TrainingOptions
from runtime.errors import Problems
from runtime.options import list_given

Told = TypeVar("Told", bound=TrainingOptions)


@dataclass(frozen=True)
class Command(Generic[Told]):
    """What one training command makes of its command line, in the order in which it is asked.

    `find_method` says which method the flags mean, also where --method was left out; `settle` fills in what presets and
    automatic values leave open; `check` lists what is wrong with the options alone, `look` what asks the disk;
    `readers` are the flags that only some choices read; `silent` those of public codes without effect here, which
    `page` tells more of.
    """

    options: type[Told]
    make_parser: Callable[[], Parser]
    presets: Presets
    find_method: Callable[[argparse.Namespace], str]
    settle: Callable[[argparse.Namespace, Problems], None]
    check: Callable[[Told], list[str]]
    look: Callable[[Told], None]
    readers: Callable[[Told], tuple[Readers, ...]]
    silent: tuple[str, ...]
    page: str

    def parse(self, argv: Sequence[str] | None = None, **told: object) -> Told:
        """Options with presets and automatic values resolved; raises ConfigError that names every problem.

        `told` are options that a program gives by their names: they count as the user's own, and the words of the
        process are not read. Raises TypeError for a name that is no option.
        """
        unknown = sorted(told.keys() - {one.name for one in fields(self.options)})
        if unknown:
            raise TypeError(f"{self.options.__name__} has no {', '.join(unknown)}")
        args, problems = self.lay_presets(() if told and argv is None else argv, told)
        silent = take_silent(args, self.silent)
        before = dict(vars(args))
        self.settle(args, problems)
        options = self.options.read(vars(args), list_given(args))
        table = self.readers(options)
        problems.lines += self.presets.find_problems(options) + self.check(options) + find_unread(options, table)
        problems.refuse(lambda: check_present(options), lambda: self.look(options))
        note_unread(options, table, silent, self.page)
        tell_resolved(before, options)
        return options

    def lay_presets(
        self, argv: Sequence[str] | None, told: Mapping[str, object]
    ) -> tuple[argparse.Namespace, Problems]:
        """Parse twice: first for method, preset and recipe, then with their settings as defaults; and what is wrong."""
        first, _ = self.make_parser().gather(argv)
        vars(first).update(told)
        parser = self.make_parser()
        parser.set_defaults(**self.presets.choose(self.find_method(first), first.preset, first.recipe))
        args, problems = parser.gather(argv)
        vars(args).update(told)
        args.given = {**args.given, **{name: f"--{name.replace('_', '-')}" for name in told}}
        if args.resume == "":  # as public codes have it where nothing is resumed
            args.resume = None
        warn_ignored(args)
        return args, problems


def tell_resolved(before: Mapping[str, object], options: TrainingOptions) -> None:
    """Print, once, what automatic values became: all of it stands in args.json too."""
    settings = options.settings()
    found = [f"{name} {settings[name]}" for name, value in before.items()
             if value == "auto" and settings.get(name, "auto") not in ("auto", None)]
    if found:
        print(f"auto is {', '.join(found)}", file=sys.stderr)
