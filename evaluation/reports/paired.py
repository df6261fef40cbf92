"""Runs side by side: one protocol or none, means with intervals, and what differs query by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.layouts.tables import read_rows
from evaluation.ledger import Row
from evaluation.metrics.bootstrap import Estimate, estimate, estimate_paired_differences
from evaluation.reports.grid import Grid
from evaluation.reports.table import BY_TRAIN, COLUMNS, ONE_OUT, name_knn
from runtime.errors import ConfigError

HASH = "dataset_sha256"
PROTOCOL = (HASH, "split", "images", "feature", "input", "view", "size", "centred")
DETAILS = ("protocol", "rerank")
TITLES = {key: title for title, key in COLUMNS.items()}
CAPTION = ("Percent over {queries} queries{seen}, with the 95 % interval [low, high] of a bootstrap over them where"
           " they were counted one by one.")
DIFFERENCE = "Points more than {reference} on the same queries, paired, with 95 % intervals; bold where one excludes 0."


@dataclass(frozen=True)
class MeasuredRun:
    """A run's row of retrieval, its `queries` [M] by key, and their metrics, float64 [M] by name, NaN = skipped."""

    label: str
    row: Row
    queries: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]

    def number(self, metric: str) -> float | None:
        """A metric of the row, None where it has none; kNN by who voted."""
        return name_knn(self.row, self.row["metrics"]).get(metric)


@dataclass(frozen=True)
class PairedColumn:
    """One metric of R runs: means, with intervals where queries were counted, and differences from the reference."""

    metric: str
    means: list[float | None]
    intervals: list[Estimate] | None
    differences: list[Estimate] | None


def read_per_query(path: Path) -> tuple[tuple[str, ...], dict[str, NDArray[np.float64]]]:
    """The queries of a per_query.csv and their metrics; `ap` is map here, rank1 and rank5 come of the first hit."""
    rows = [row for _, row in read_rows(path, ("path", "first_hit", "ap"))]
    try:
        numbers = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]
                   if name not in ("path", "class") and not name.startswith("near")}
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{path} is no table of queries ({error}); run main_retrieval.py again") from error
    first = numbers.pop("first_hit")
    hits = {f"rank{depth}": np.where(np.isnan(first), np.nan, first <= depth) for depth in (1, 5)}
    return tuple(row["path"] for row in rows), {**hits, "map": numbers.pop("ap"), **numbers}


def refuse_other_protocols(runs: Sequence[MeasuredRun]) -> None:
    """Raise ConfigError with a line for every field of the protocol in which runs differ, and what each has there."""
    lines = []
    for name in (*PROTOCOL, *DETAILS):
        told = [str((run.row["details"] if name in DETAILS else run.row).get(name, "")) or "none" for run in runs]
        if len(set(told)) > 1:
            told = [value[:16] for value in told] if name == HASH else told
            lines.append(f"{name}: " + ", ".join(f"{value} ({run.label})" for run, value in zip(runs, told)))
    if not lines and len({run.queries for run in runs}) > 1:
        lines.append("the queries of their per_query.csv are not the same images")
    if lines:
        raise ConfigError("these runs were not measured alike, so that their numbers cannot be compared; measure them "
                          "with one protocol (main_retrieval.py --pretrained RUN with the same --split, --feature, "
                          "--input, --size, --centre, --rerank for each)\n  " + "\n  ".join(lines))


def compare_metric(runs: Sequence[MeasuredRun], metric: str, reference: int) -> PairedColumn:
    """One metric of all runs; the interval is over queries that were scored, the same for all of one protocol."""
    if not all(metric in run.values for run in runs):
        return PairedColumn(metric, [run.number(metric) for run in runs], None, None)
    table = np.stack([run.values[metric] for run in runs])
    scored = table[:, ~np.isnan(table).any(axis=0)]
    if not scored.shape[1]:
        return PairedColumn(metric, [None] * len(runs), None, None)
    found = estimate(scored[:, None, :])
    return PairedColumn(metric, [one.mean for one in found], found,
                        estimate_paired_differences(scored[:, None, :], reference))


def list_columns(runs: Sequence[MeasuredRun], metrics: Sequence[str], reference: int) -> list[PairedColumn]:
    """The columns that were asked for, `knn` as both protocols that occur; raises ConfigError for unknown metrics."""
    known = {name for run in runs for name in (*run.values, *name_knn(run.row, run.row["metrics"]))}
    names = [name for asked in metrics for name in ((ONE_OUT, BY_TRAIN) if asked == "knn" else (asked,))
             if asked != "knn" or name in known]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"--metric {', '.join(unknown)}: these runs have {', '.join(sorted(known))}")
    return [compare_metric(runs, name, reference) for name in dict.fromkeys(names)]


def title_of(metric: str) -> str:
    """What tables call a metric."""
    return TITLES.get(metric, metric)


def tabulate_runs(runs: Sequence[MeasuredRun], columns: Sequence[PairedColumn]) -> Grid:
    """Means with their intervals; the highest of a column stands out."""
    cells, strong = [], set()
    for line, run in enumerate(runs):
        cells.append((run.label, *(show_mean(column, line) for column in columns)))
        strong |= {(line, place) for place, column in enumerate(columns, start=1) if column.means[line] is not None
                   and column.means[line] == max(mean for mean in column.means if mean is not None)}
    row = runs[0].row
    seen = f", {row['feature']}, {row['input']} image at {row['size']} px"
    caption = CAPTION.format(queries=row["details"].get("queries", len(runs[0].queries)), seen=seen)
    head = ("run", *(title_of(column.metric) for column in columns))
    return Grid(f"{row['task']}, {row['split']}", caption, head, cells, range(1, len(columns) + 1), strong)


def show_mean(column: PairedColumn, line: int) -> str:
    """A cell of percentages."""
    mean = column.means[line]
    if mean is None:
        return "–"
    if column.intervals is None:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.1f} [{100 * column.intervals[line].low:.1f}, {100 * column.intervals[line].high:.1f}]"


def tabulate_gains(runs: Sequence[MeasuredRun], columns: Sequence[PairedColumn], reference: int) -> Grid:
    """Paired differences from the reference, one line for each other run; columns without queries are left out."""
    shown = [column for column in columns if column.differences is not None]
    others = [line for line in range(len(runs)) if line != reference]
    found = [[column.differences[line] for column in shown if column.differences] for line in others]
    cells = [(runs[line].label, *map(show_gain, gains)) for line, gains in zip(others, found)]
    strong = {(line, place) for line, gains in enumerate(found) for place, one in enumerate(gains, start=1)
              if one.excludes_zero}
    return Grid(f"difference from {runs[reference].label}", DIFFERENCE.format(reference=runs[reference].label),
                ("run", *(title_of(column.metric) for column in shown)), cells, range(1, len(shown) + 1), strong)


def show_gain(gain: Estimate) -> str:
    """A difference in points, signed."""
    return f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def list_compared_numbers(
    runs: Sequence[MeasuredRun], columns: Sequence[PairedColumn], reference: int
) -> list[list[object]]:
    """The rows of a CSV, the head first: shares in [0, 1], a line for each run and metric."""
    head: list[object] = ["run", "metric", "mean", "low", "high", "reference", "difference", "difference_low",
                          "difference_high", "excludes_zero"]
    rows = [head]
    for column in columns:
        for line, run in enumerate(runs):
            mean = column.means[line]
            cells: list[object] = [run.label, column.metric, "" if mean is None else mean]
            cells += [column.intervals[line].low, column.intervals[line].high] if column.intervals else ["", ""]
            cells.append(runs[reference].label)
            cells += list_gain(column.differences[line]) if column.differences else [""] * 4
            rows.append(cells)
    return rows


def list_gain(gain: Estimate) -> list[object]:
    """A difference as cells of a CSV."""
    return [gain.mean, gain.low, gain.high, int(gain.excludes_zero)]
