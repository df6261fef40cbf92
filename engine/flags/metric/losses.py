"""The flags of metric losses: `--loss-<name>-<option>` for every option that a loss has, by the public code's names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.flags.metric.options import MetricOptions
from losses.metric.options import LOSS_OPTIONS, resolve_criterion
from runtime.ranges import POSITIVE, TEMPERATURE, WEIGHT, real, whole_number
from runtime.words import boolean

# Where the public code's name of an option is not the loss's own.
SEED_NAMES = {("margin", "beta_rate"): "beta_lr", ("margin", "constant"): "beta_constant",
              ("softtriplet", "scale"): "lambda", ("softmax", "rate"): "lr", ("arcface", "rate"): "lr",
              ("proxyanchor", "alpha"): "pos_alpha", ("proxyanchor", "delta"): "pos_delta"}
SEED_LOSSES = {"proxyanchor": "oproxy"}
# What an option's value may be, by its name; an option that is not here is a weight, a margin, or a rate: at least 0.
RANGES = {"nbins": whole_number(2, 10**4), "n_centroids": whole_number(1, 10**3), "temperature": TEMPERATURE,
          "thresh": real(-1, 1),
          "pos_weight": POSITIVE, "neg_weight": POSITIVE, "feature_scale": POSITIVE, "gamma": POSITIVE,
          "scale": POSITIVE, ("angular", "alpha"): real(0, 90, above=True, below=True),
          ("proxyanchor", "alpha"): POSITIVE, "angular_margin": real(0, 3.14)}


@dataclass(frozen=True)
class LossFlag:
    """One option of one loss: its flag, where argparse keeps it, its type and the loss's own default."""

    loss: str
    option: str
    flag: str
    kind: Callable[[str], object]
    default: float

    @property
    def dest(self) -> str:
        """The name within the parsed arguments."""
        return self.flag[2:].replace("-", "_")


def list_loss_options() -> Iterator[LossFlag]:
    """All options of all losses."""
    for loss, options in LOSS_OPTIONS.items():
        for option, default in options.items():
            said = SEED_NAMES.get((loss, option), option).replace("_", "-")
            flag = f"--loss-{SEED_LOSSES.get(loss, loss)}-{said}"
            yield LossFlag(loss, option, flag, find_value_type(loss, option, default), default)


def find_value_type(loss: str, option: str, default: float) -> Callable[[str], object]:
    """What turns the option's text into its value, and refuses what lies out of range."""
    return boolean if isinstance(default, bool) else RANGES.get((loss, option)) or RANGES.get(option, WEIGHT)


def add_loss_flags(group: argparse._ArgumentGroup) -> None:
    """Every loss's options; one that is not given is the loss's own default."""
    for flag in list_loss_options():
        switch = flag.kind is boolean
        group.add_argument(flag.flag, type=flag.kind, default=argparse.SUPPRESS, metavar="X",
                           nargs="?" if switch else None, const=True if switch else None,
                           help=f"{flag.option.replace('_', ' ')} of {flag.loss} ({flag.default})")


def read_loss_options(options: MetricOptions) -> dict[str, float]:
    """The options of the chosen loss that were given."""
    given = options.loss_flags
    return {flag.option: given[flag.dest] for flag in list_loss_options()
            if flag.loss == resolve_criterion(options.loss) and flag.dest in given}


def find_option(options: MetricOptions, option: str, otherwise: float) -> float:
    """An option of the chosen loss, given or its default; `otherwise` for a loss that has none of that name."""
    own = {flag.option: flag.default for flag in list_loss_options() if flag.loss == resolve_criterion(options.loss)}
    return (own | read_loss_options(options)).get(option, otherwise)
