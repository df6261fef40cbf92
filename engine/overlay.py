"""The curves of several runs in one picture: a panel for each number, a line for each run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.curves import LogLine, read_log
from evaluation.reports.figure import label_text, load_pyplot
from runtime.errors import ConfigError
from runtime.files import write_atomically

FIRST = ("total", "entropy", "agreement", "gate", "self_mass")  # what is drawn before the rest, where runs have it
WATCHED = ("knn_", "val_", "spread_", "rank_", "accuracy", "train_top1")  # beginnings of what monitors measured
MOST = 12  # panels
COLUMNS = 4


def read_epochs(log: Path) -> list[LogLine]:
    """The epochs of a run's log.jsonl; raises ConfigError where there are none."""
    rows = [row for row in read_log(log) if row["kind"] == "epoch"] if log.is_file() else []
    if not rows:
        raise ConfigError(f"{log}: no epoch is logged there; leave --figure out, or name runs with their logs")
    return rows


def choose_numbers(runs: Mapping[str, Sequence[LogLine]]) -> list[str]:
    """The names that two runs or more have logged: losses and shares, then what was monitored; at most MOST."""
    logged = [{name for row in rows for name, value in row.items() if isinstance(value, (int, float))}
              for rows in runs.values()]
    shared = sorted(name for name in set().union(*logged) if sum(name in names for names in logged) > 1)
    watched = [name for name in shared if name.startswith(WATCHED) and name not in FIRST]
    return [*(name for name in FIRST if name in shared), *watched][:MOST]


def draw_overlay(runs: Mapping[str, Sequence[LogLine]], picture: Path) -> None:
    """The epochs of runs by their labels, into a PNG; raises ConfigError where no number is shared."""
    names = choose_numbers(runs)
    if not names:
        raise ConfigError(f"--figure {picture}: no two of these runs logged a number of the same name; leave it out")
    pyplot = load_pyplot()
    columns = min(COLUMNS, len(names))
    lines = math.ceil(len(names) / columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(4.2 * columns, 3.2 * lines), squeeze=False)
    for axis in axes.flat[len(names):]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names):
        for label, rows in runs.items():
            points = [(row["epoch"] + 1, row[name]) for row in rows if row.get(name) is not None]
            if points:
                mark = "o" if len(points) < 12 else None
                axis.plot(*zip(*points), label=label_text(label), marker=mark, markersize=3)
        axis.set(title=label_text(name), xlabel="epoch")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    write_atomically(picture, lambda draft: figure.savefig(draft, dpi=110))
    pyplot.close(figure)
