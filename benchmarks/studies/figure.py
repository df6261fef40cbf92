"""A study as a picture: mAP of every row with its interval, one panel a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.ledger import Row, read_measurements
from evaluation.reports.figure import label_text, load_pyplot
from evaluation.reports.ledger_report import draw_figure
from evaluation.reports.study_table import take_studies
from evaluation.reports.table import Measurement
from runtime.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, OTHERS = "#0a6b3d", "#6d7f94"


def draw_study(rows: Sequence[Row], picture: Path) -> None:
    """Study rows of a ledger into a PNG: a dot for the mean over seeds and images, a line for its 95 % interval."""
    tasks = list(dict.fromkeys(str(row["task"]) for row in rows))
    panels = [[row for row in rows if row["task"] == task] for task in tasks]
    pyplot = load_pyplot()
    height = 0.8 * len(panels) + 0.3 * len(rows)
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(8.5, height), squeeze=False,
                                   height_ratios=[len(panel) + 1 for panel in panels])
    for axis, task, panel in zip(axes[:, 0], tasks, panels):
        draw_task(axis, task, panel)
    figure.tight_layout()
    write_atomically(picture, lambda draft: figure.savefig(draft, dpi=120))
    pyplot.close(figure)


def draw_task(axis: Axes, task: str, rows: Sequence[Row]) -> None:
    """One task, rows from top to bottom; trained networks in green, frozen ones in grey."""
    for place, row in enumerate(rows):
        mean, low, high = (100 * row["metrics"][name] for name in ("map", "map_low", "map_high"))
        colour = OURS if row["details"]["trained_with_seed"] else OTHERS
        axis.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3, markersize=5)
        axis.annotate(f"{mean:.1f}", (mean, place), (0, 5), textcoords="offset points", ha="center", fontsize=8)
    axis.set_yticks(range(len(rows)), [label_text(str(row["label"])) for row in rows])
    axis.set(title=f"{label_text(task)}: mAP in percent, with 95 % interval", ylim=(len(rows) - 0.5, -0.6))
    axis.title.set_fontsize(10)
    axis.grid(axis="x", color="#e4e9ef")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def draw_report_figure(lines: Sequence[Measurement], ledgers: Sequence[str], picture: Path) -> None:
    """The studies of the ledgers, mAP with intervals, where there are any; else every metric of single measurements."""
    studies = take_studies(row for path in ledgers for row in read_measurements(path))
    if studies:
        draw_study(studies, picture)
    else:
        draw_figure(lines, picture)
