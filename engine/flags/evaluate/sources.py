"""Whether what the flags of an evaluation point to is there."""

from __future__ import annotations

from engine.flags.absent import check_present
from evaluation.features.sources import find_source
from evaluation.options import ClassifierOptions, EncoderOptions
from runtime.errors import Problems


def check_evaluation_sources(options: EncoderOptions | ClassifierOptions) -> None:
    """Raise ConfigError with a line for each of weights, folders and architectures that are not available."""
    problems = Problems()
    problems.attempt(lambda: find_source(options.pretrained))
    problems.attempt(lambda: check_present(options))
    problems.refuse()
