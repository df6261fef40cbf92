"""Presets: what the names of --preset and --recipe stand for, by method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.options import TrainingOptions

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

    def find_problems(self, options: TrainingOptions) -> list[str]:
        """A line for --preset and for --recipe where the chosen method has no settings of that name."""
        asked = (("preset", options.preset, "none"), ("recipe", options.recipe, "default"))
        return [self.explain(flag, name, neutral, options.method) for flag, name, neutral in asked
                if name != neutral and options.method not in self.named.get(name, {})]

    def explain(self, flag: str, name: str, neutral: str, method: str) -> str:
        """Who has settings of that name, and which names the method has."""
        others = [other for other, settings in self.named.items() if method in settings]
        own = ", ".join([neutral, *(other for other in others if (other == "seed") == (flag == "recipe"))])
        return (f"--{flag} {name} has no settings for --method {method}, only for "
                f"{', '.join(self.named.get(name, {}))}; for {method} there is --{flag} {own}")
