"""Whether what the flags of an evaluation point to is there."""

from __future__ import annotations

import argparse

from engine.flags.absent import check_present
from evaluation.features.sources import find_source
from runtime.errors import Problems


def check_evaluation_sources(args: argparse.Namespace) -> None:
    """Raise ConfigError with a line for each of weights, folders and architectures that are not to be had."""
    problems = Problems()
    problems.attempt(lambda: find_source(args.pretrained))
    problems.attempt(lambda: check_present(args))
    problems.refuse()
