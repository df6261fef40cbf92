"""The training curves of a run as one picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from evaluation.reports.figure import label_text, load_pyplot
from runtime.files import write_atomically
from runtime.side_files import find_shape_faults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LogLine = dict[str, Any]  # in plain JSON types; `read_log` takes no line without these
LINE = {"kind": str, "epoch": int}


def read_log(path: Path, *, steps: bool = True) -> list[LogLine]:
    """The lines of a log.jsonl; what is no whole line of one is left out, and names whose value is no number.

    Without `steps` those of kind "step", most lines of a long log, are passed over unread.
    """
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not steps and '"kind": "step"' in line:
            continue
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not list(find_shape_faults(row, LINE)):
            rows.append({name: value for name, value in row.items() if name == "kind" or is_number(value)})
    return rows


def is_number(value: object) -> bool:
    """True for what a curve can have as a value, None where it has none."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def draw_curves(log: Path, picture: Path, *, terms: Sequence[str] = (), shares: Sequence[str] = ()) -> None:
    """The loss, its terms, shares and monitors over epochs from `log` (log.jsonl) into `picture` (PNG).

    `terms` and `shares` are those that a method declares (see `methods.method.Method`); a name that the log has not is
    passed over.
    """
    epochs = [row for row in read_log(log) if row["kind"] == "epoch"]
    shown = {title: lines for title, lines in choose_panels(epochs, terms, shares).items() if lines}
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(1, max(len(shown), 1), figsize=(4.6 * max(len(shown), 1), 3.6), squeeze=False)
    for axis, (title, lines) in zip(axes[0], shown.items()):
        draw_panel(axis, title, lines, epochs)
    figure.tight_layout()
    write_atomically(picture, lambda draft: figure.savefig(draft, dpi=110))
    pyplot.close(figure)


def choose_panels(epochs: list[LogLine], terms: Sequence[str], shares: Sequence[str]) -> dict[str, list[str]]:
    """Which numbers of the epochs' rows go into which panel."""
    names = sorted({name for row in epochs for name, value in row.items() if isinstance(value, (int, float))})
    return {
        "loss terms": [name for name in ("total", *terms) if name in names],
        "teacher and queue (shares)": [name for name in shares if name in names],
        "entropy of CAM targets (1 = uniform)": [name for name in names if name.startswith("cam_entropy")],
        "retrieval on the val split": [name for name in names if name.startswith(("val_rank", "val_map"))],
        "right answers (accuracy: in training views)": [
            name for name in names if name.startswith(("accuracy", "train_top1", "val_top1"))],
        "loss in the evaluation view": [name for name in names if name in ("train_loss", "val_loss", "val_loss_ema")],
        "kNN on the training split": [name for name in names if name.startswith("knn_")],
        "spread of features (0 = collapsed)": [name for name in names if name.startswith("spread_")],
    }


def draw_panel(axis: Axes, title: str, names: list[str], epochs: list[LogLine]) -> None:
    """One panel: a line for each name over the epochs that have it."""
    for name in names:
        points = [(row["epoch"] + 1, row[name]) for row in epochs if row.get(name) is not None]
        axis.plot(*zip(*points), label=label_text(name), marker="o" if len(points) < 12 else None, markersize=3)
    axis.set(title=title, xlabel="epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2)  # off the lines
    axis.spines[["top", "right"]].set_visible(False)
