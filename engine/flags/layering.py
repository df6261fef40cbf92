"""Presets, laid under the user's own flags: a method's settings first, then a data set's, then a recipe's."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.flags.groups import warn_ignored
from engine.flags.parser import Parser
from runtime.errors import Problems

Settings = dict[str, object]


@dataclass(frozen=True)
class Presets:
    """What names stand for: `methods` by method, `named` by the word of --preset or --recipe and then by method."""

    methods: Mapping[str, Settings]
    named: Mapping[str, Mapping[str, Settings]]

    def choose(self, method: str, *names: str) -> Settings:
        """The settings of a method and, over them, of each name that has some for it."""
        laid = dict(self.methods.get(method, {}))
        for name in names:
            laid |= self.named.get(name, {}).get(method, {})
        return laid

    def find_problems(self, args: argparse.Namespace) -> list[str]:
        """A line for --preset and for --recipe where the chosen method has no settings of that name."""
        asked = (("preset", args.preset, "none"), ("recipe", args.recipe, "default"))
        return [self.explain(flag, name, neutral, args.method) for flag, name, neutral in asked
                if name != neutral and args.method not in self.named.get(name, {})]

    def explain(self, flag: str, name: str, neutral: str, method: str) -> str:
        """Who has settings of that name, and which names the method has."""
        others = [other for other, settings in self.named.items() if method in settings]
        own = ", ".join([neutral, *(other for other in others if (other == "seed") == (flag == "recipe"))])
        return (f"--{flag} {name} has no settings for --method {method}, only for "
                f"{', '.join(self.named.get(name, {}))}; for {method} there is --{flag} {own}")


def parse_with_presets(
    build: Callable[[], Parser], presets: Presets, argv: Sequence[str] | None,
    find_method: Callable[[argparse.Namespace], str],
) -> tuple[argparse.Namespace, Problems]:
    """Parse twice: first for the method, preset and recipe that are meant, then with their settings as defaults.

    Returns the flags and what is wrong with them so far. `find_method` says which method the flags mean, also where
    --method itself was left out.
    """
    first, _ = build().gather(argv)
    parser = build()
    parser.set_defaults(**presets.choose(find_method(first), first.preset, first.recipe))
    args, problems = parser.gather(argv)
    if args.resume == "":  # as public codes have it where nothing is resumed
        args.resume = None
    warn_ignored(args)
    return args, problems
