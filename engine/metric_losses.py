"""The flags of metric losses: `--loss-<name>-<option>` for every option that a loss has, by the public code's names."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from engine.args import boolean
from losses.criteria import CRITERIA, resolve_criterion

# Where the public code's name of an option is not the loss's own.
SEED_NAMES = {("margin", "beta_rate"): "beta_lr", ("margin", "constant"): "beta_constant",
              ("softtriplet", "scale"): "lambda", ("softmax", "rate"): "lr", ("arcface", "rate"): "lr",
              ("proxyanchor", "alpha"): "pos_alpha", ("proxyanchor", "delta"): "pos_delta"}
SEED_LOSSES = {"proxyanchor": "oproxy"}
KINDS = {"int": int, "float": float, "bool": boolean}


@dataclass(frozen=True)
class LossFlag:
    """One option of one loss: its flag, where argparse keeps it, its type and the loss's own default."""

    loss: str
    option: str
    flag: str
    kind: type
    default: object

    @property
    def dest(self) -> str:
        """The name within the parsed arguments."""
        return self.flag[2:].replace("-", "_")


def list_flags() -> Iterator[LossFlag]:
    """All options of all losses."""
    for loss, build in CRITERIA.items():
        for option, parameter in inspect.signature(build).parameters.items():
            if option in ("classes", "dim"):
                continue
            said = SEED_NAMES.get((loss, option), option).replace("_", "-")
            flag = f"--loss-{SEED_LOSSES.get(loss, loss)}-{said}"
            yield LossFlag(loss, option, flag, KINDS[parameter.annotation], parameter.default)


def add_loss_flags(group: argparse._ArgumentGroup) -> None:
    """Every loss's options; one that is not given is the loss's own default."""
    for flag in list_flags():
        group.add_argument(flag.flag, type=flag.kind, default=argparse.SUPPRESS, metavar="X",
                           help=f"{flag.option.replace('_', ' ')} of {flag.loss} ({flag.default})")


def read_loss_options(args: argparse.Namespace) -> dict[str, float]:
    """The options of the chosen loss that were given."""
    given = vars(args)
    return {flag.option: given[flag.dest] for flag in list_flags()
            if flag.loss == resolve_criterion(args.loss) and flag.dest in given}
