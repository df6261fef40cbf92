"""What a log says over time, as charts: each loss term on its own axis, weights, monitors, speed, and the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.curves import LogLine, choose_panels, read_log
from evaluation.reports.run.charts import Chart, Points, has_points, thin_line
from evaluation.reports.run.facts import RunFacts

LOSS, SHARES = "loss terms", "teacher and queue (shares)"  # panels that stand here in another form
WEIGHTS = ("gate", "entropy", "psd_weight")
PLACES = ("kind", "step", "epoch")
STEP, SPEED, EPOCH = "step", "speed", "epoch"
GATED = ("Means over the images. h is the teacher's normalised entropy: it weighs contrast with h², "
         "distillation with 1 - h².")
GRADIENTS = {"norm": "norm of a term's gradient at the feature map", "cosine": "cosine of two terms' gradients",
             "ratio": "distillation : contrast, norms"}  # by the first word of a number's name


@dataclass(frozen=True)
class ChartGroup:
    """Charts under one heading."""

    title: str
    note: str
    charts: Sequence[Chart]


@dataclass(frozen=True)
class History:
    """The lines of a log by kind; `steps` are read only of runs whose epochs make no curve."""

    by_kind: Mapping[str, Sequence[LogLine]]
    steps: Sequence[LogLine] = ()

    @property
    def epochs(self) -> Sequence[LogLine]:
        """The rows of whole epochs."""
        return self.by_kind.get(EPOCH, ())

    @property
    def speeds(self) -> Sequence[LogLine]:
        """How long each epoch took."""
        return self.by_kind.get(SPEED, ())

    def follow(self, name: str) -> Points:
        """A number over epochs, counted from 1; over steps where there is but one epoch and steps have it."""
        return self._find(name)[0]

    def over(self, name: str) -> str:
        """What `follow` counts."""
        return self._find(name)[1]

    def _find(self, name: str) -> tuple[Points, str]:
        by_step = follow_steps(self.steps, name)
        by_epoch = thin_line([(row["epoch"] + 1, row[name]) for row in self.epochs if row.get(name) is not None])
        return (by_step, STEP) if len(by_step) > 1 or not by_epoch else (by_epoch, EPOCH)


def read_history(path: Path) -> History:
    """A log as charts need it; that of a run which has not begun is empty."""
    if not path.is_file():
        return History({})
    rows = read_log(path, steps=False)
    kinds = dict.fromkeys(str(row["kind"]) for row in rows)
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}
    if len(by_kind.get(EPOCH, ())) > 1:
        return History(by_kind)
    return History(by_kind, [row for row in read_log(path) if row["kind"] == STEP])


def follow_steps(rows: Sequence[LogLine], name: str) -> Points:
    """A number over the steps of some rows."""
    return thin_line([(row["step"], row[name]) for row in rows if row.get(name) is not None and row.get("step")])


def list_names(rows: Sequence[LogLine]) -> list[str]:
    """What has a number in some row, by name."""
    return sorted({name for row in rows for name, value in row.items() if value is not None and name not in PLACES})


def group_charts(history: History, facts: RunFacts) -> list[ChartGroup]:
    """All numbers of a log, every one once; a group without a chart is left out."""
    names = list_names([*history.epochs, *history.steps])
    panels = choose_panels([*history.epochs, *history.steps], facts.terms, facts.shares)
    terms, shares = panels.pop(LOSS), panels.pop(SHARES)
    weighed = [name for name in names if name.startswith(WEIGHTS)]
    watched = {title: lines for title, lines in panels.items() if lines}
    shown = {*terms, *shares, *weighed, "lr", *(name for lines in watched.values() for name in lines)}
    groups = [
        ChartGroup("Loss terms", "Each has an axis of its own; terms are as they enter the sum, before their weights.",
                   [draw_alone(history, name) for name in terms]),
        ChartGroup(*(("What contrast and distillation weigh", GATED) if "gate" in weighed else ("Weights", "")),
                   draw_weights(history, weighed)),
        ChartGroup("Shares", "Of the batch or the queue, from 0 to 1.",
                   [draw_alone(history, name, (0, 1)) for name in shares if name not in weighed]),
        ChartGroup("Monitors", "Most are looks at images between epochs, which change nothing; never at test ones.",
                   [chart for title, lines in watched.items() for chart in draw_together(history, title, lines)]),
        *(ChartGroup(kind.capitalize(), "", draw_steps(rows)) for kind, rows in history.by_kind.items()
          if kind not in (EPOCH, SPEED)),
        ChartGroup("Speed and rate", "", draw_speed(history, facts)),
        ChartGroup("Other numbers of the log", "", draw_rest(history, [name for name in names if name not in shown])),
    ]
    drawn = [replace(group, charts=list(filter(has_points, group.charts))) for group in groups]
    return [group for group in drawn if group.charts]


def draw_alone(history: History, name: str, bounds: tuple[float, float] | None = None) -> Chart:
    """A number on its own axis."""
    return Chart(name, {name: history.follow(name)}, history.over(name), bounds=bounds)


def draw_together(history: History, title: str, names: Sequence[str]) -> list[Chart]:
    """Numbers of one kind on one axis; those over steps apart from those over epochs."""
    return [Chart(title, {name: history.follow(name) for name in some}, over) for over in (STEP, EPOCH)
            if (some := [name for name in names if history.over(name) == over])]


def draw_weights(history: History, names: Sequence[str]) -> list[Chart]:
    """The gate as the two weights that it is, and what it is made of."""
    charts = []
    if "gate" in names:
        gate = history.follow("gate")
        lines: Mapping[str, Points] = {"distillation, 1 - h²": gate, "contrast, h²": [(x, 1 - y) for x, y in gate]}
        charts.append(Chart("weights", lines, history.over("gate"), bounds=(0, 1)))
    entropies = [name for name in names if name.startswith("entropy")]
    if entropies:
        charts += draw_together(history, "entropy of the teacher, h", entropies)
    return charts + [draw_alone(history, name) for name in names if name != "gate" and name not in entropies]


def draw_speed(history: History, facts: RunFacts) -> list[Chart]:
    """Images a second, the share of waiting for them, and the plan of the learning rate."""
    lines = {name: [(row["epoch"] + 1, row[name]) for row in history.speeds if row.get(name) is not None]
             for name in ("images_per_second", "data_wait")}
    charts = [Chart("images a second", {"images a second": lines["images_per_second"]}),
              Chart("share of time waiting for images", {"waiting": lines["data_wait"]}, bounds=(0, 1))]
    rates = [(epoch + 1.0, rate) for epoch, rate in enumerate(facts.rates)]
    charts.append(Chart("learning rate at the start of each epoch, as planned", {"rate": rates}))
    return [chart for chart in charts if any(chart.lines.values())]


def draw_rest(history: History, names: Sequence[str]) -> list[Chart]:
    """What has no panel."""
    return [chart for some in join_alike(names) for chart in draw_together(history, ", ".join(some), some)]


def draw_steps(rows: Sequence[LogLine]) -> list[Chart]:
    """Lines of another kind, which are written every few steps."""
    return [name_gradients(Chart(", ".join(some), {name: follow_steps(rows, name) for name in some}, STEP))
            for some in join_alike(list_names(rows))]


def name_gradients(chart: Chart) -> Chart:
    """Numbers of the gradient budget under a title, without the word that all of them begin with; others as before."""
    stem = next(iter(chart.lines)).split("_")[0]
    if stem not in GRADIENTS:
        return chart
    lines = {name.removeprefix(f"{stem}_").replace("_", " · "): points for name, points in chart.lines.items()}
    return replace(chart, title=GRADIENTS[stem], lines=lines)


def join_alike(names: Sequence[str]) -> list[list[str]]:
    """Names that begin alike, which share an axis: nce1, nce2, nce3."""
    stems = {name: re.split(r"[\d_]", name)[0] or name for name in names}
    return [[name for name in names if stems[name] == stem] for stem in dict.fromkeys(stems.values())]
