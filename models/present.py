"""Whether the networks and weights that flags name are to be had, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from models.arch_names import resolve_arch
from models.plug_in.presets import PRESETS as PLUG_INS
from models.weights.files import find_weights
from runtime.errors import Problems
from runtime.options import Options, name_flags


def check_architecture(options: Options, name: str) -> None:
    """Raise WeightsError, with its flag, for an architecture that timm does not know; `name` is that of the flag."""
    asked = getattr(options, name, None)
    if asked and asked not in PLUG_INS:
        with name_flags(options, name):
            resolve_arch(asked)


def check_weights(options: Options, name: str, sources: Sequence[str]) -> None:
    """Raise ConfigError, with the flag `name`, for weights that are not there; `hub` and `none` are no files."""
    problems = Problems()
    for source in sources:
        if source.partition(":")[0] not in ("none", "hub"):
            problems.attempt(lambda: _find(options, name, source))
    problems.refuse()


def _find(options: Options, name: str, source: str) -> None:
    with name_flags(options, name):
        find_weights(source)
