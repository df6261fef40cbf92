"""Weights that a program names: where they are, what their run says of them, and how they are opened quietly."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from evaluation.options import EVAL_VIEWS
from evaluation.run_record import NETWORKS, Settings, read_settings
from runtime.errors import ConfigError, WeightsError
from runtime.precision import DTYPES


@dataclass(frozen=True)
class NamedWeights:
    """What `models.encoder.load_encoder` and its like open, and what is known of the training, {} for nothing."""

    source: str
    settings: Settings


def find_named_weights(named: str | os.PathLike[str]) -> NamedWeights:
    """A run's folder, or the weights themselves: a file, `package:efficientnet-lite0|1|2`, or `hub`.

    A name means what it means to any program: nothing is looked for under checkpoints/. Raises WeightsError.
    """
    name = os.fspath(named)
    if name == "hub" or name.startswith("package:"):
        return NamedWeights(name, {})
    path = Path(name)
    file = path / NETWORKS[0] if path.is_dir() else path
    if not file.is_file():
        what = f"a folder without {NETWORKS[0]}: no run has finished there" if path.is_dir() else "no such file"
        raise WeightsError(f"{name}: {what}. Give the folder of a finished run, a file of weights, "
                           "package:efficientnet-lite0, or hub")
    return NamedWeights(str(file), read_settings(file))


def check_looks(view: str, precision: str) -> None:
    """Raise ConfigError for a view that draws random numbers or is unknown, or an unknown number format."""
    if view not in EVAL_VIEWS:
        raise ConfigError(f"view {view!r}: known are {', '.join(EVAL_VIEWS)}")
    if precision != "fp32" and precision not in DTYPES:
        raise ConfigError(f"precision {precision!r}: known are fp32, {', '.join(DTYPES)}")
