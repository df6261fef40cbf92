"""From lines of a log to charts: every number once, steps where epochs make no curve."""

from __future__ import annotations

import json
from pathlib import Path

from engine.workflows.report.curves import group_charts, read_history
from evaluation.reports.run.charts import draw_chart
from evaluation.reports.run.facts import RunFacts

FACTS = RunFacts(headline="run", state="", about=(), terms=("loss1",), shares=("gate", "self_mass"), epochs=3, rates=(0.1, 0.05, 0.01))


def write(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "epoch", "epo')
    return path


def test_every_number_stands_once_and_other_kinds_over_their_steps(tmp_path: Path) -> None:
    rows = [{"kind": "step", "step": 1, "epoch": 0, "total": 9.0},
            *({"kind": "gradients", "step": step, "epoch": 0, "norm_cam": step, "norm_total": 2, "cosine_cam_total": None} for step in (1, 5)),
            *({"kind": "speed", "step": 5, "epoch": epoch, "seconds": 1.0, "images_per_second": 4, "data_wait": 0.1} for epoch in range(2)),
            *({"kind": "epoch", "step": 5, "epoch": epoch, "total": 2.0, "loss1": 1.0, "gate": 0.25, "self_mass": 0.5, "nce1": 1, "nce2": 2,
               "knn_head": 0.5} for epoch in range(2))]
    groups = {group.title: {chart.title: chart for chart in group.charts}
              for group in group_charts(read_history(write(tmp_path, *rows)), FACTS)}
    assert {title: list(charts) for title, charts in groups.items()} == {
        "Loss terms": ["total", "loss1"], "What contrast and distillation weigh": ["weights"], "Shares": ["self_mass"],
        "Monitors": ["kNN on the training split"], "Gradients": ["norm of a term's gradient at the feature map"],
        "Speed and rate": ["images a second", "share of time waiting for images", "learning rate at the start of each epoch, as planned"],
        "Other numbers of the log": ["nce1, nce2"]}
    assert groups["Loss terms"]["total"].lines == {"total": [(1, 2.0), (2, 2.0)]}
    assert groups["What contrast and distillation weigh"]["weights"].lines["contrast, h²"] == [(1, 0.75), (2, 0.75)]
    gradients = groups["Gradients"]["norm of a term's gradient at the feature map"]
    assert gradients.over == "step" and gradients.lines["cam"] == [(1, 1), (5, 5)]
    assert groups["Speed and rate"]["learning rate at the start of each epoch, as planned"].lines["rate"] == [(1, 0.1), (2, 0.05), (3, 0.01)]


def test_a_run_without_a_log_has_its_plan_and_one_of_an_epoch_its_steps(tmp_path: Path) -> None:
    (plan,) = group_charts(read_history(tmp_path / "log.jsonl"), FACTS)
    assert [chart.title for chart in plan.charts] == ["learning rate at the start of each epoch, as planned"]
    rows = [{"kind": "step", "step": step, "epoch": 0, "total": float(step), "lr": 0.1} for step in (1, 2, 3)]
    path = write(tmp_path, *rows, {"kind": "epoch", "step": 3, "epoch": 0, "total": 2.0, "spread_head": 0.5})
    loss, monitors, *_ = group_charts(read_history(path), FACTS)
    assert loss.charts[0].over == "step" and loss.charts[0].lines["total"] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert monitors.charts[0].over == "epoch" and monitors.charts[0].lines == {"spread_head": [(1, 0.5)]}


def test_epochs_and_steps_share_no_axis_and_one_step_is_drawn(tmp_path: Path) -> None:
    step = {"kind": "step", "step": 10, "epoch": 0, "total": 2.0, "accuracy": 0.5}
    (first, *_) = group_charts(read_history(write(tmp_path, step)), FACTS)
    assert first.charts[0].lines == {"total": [(10, 2.0)]} and draw_chart(first.charts[0]).over == "step"
    path = write(tmp_path, step, {**step, "step": 20}, {"kind": "epoch", "step": 20, "epoch": 0, "total": 2.0, "accuracy": 0.5, "val_top1": 0.6})
    charts = [chart for group in group_charts(read_history(path), FACTS) for chart in group.charts]
    over = {name: chart.over for chart in charts for name in chart.lines}
    assert over["accuracy"] == "step" and over["val_top1"] == "epoch"
    assert [list(chart.lines) for chart in charts if "accuracy" in chart.lines] == [["accuracy"]]


def test_a_gradient_budget_has_titles_and_short_names(tmp_path: Path) -> None:
    rows = [{"kind": "gradients", "step": step, "epoch": 0, "norm_loss1": 0.5, "norm_total": 1.0, "cosine_loss1_cam": -0.1, "ratio": 3.0} for step in (5, 10)]
    group = next(group for group in group_charts(read_history(write(tmp_path, *rows)), FACTS) if group.title == "Gradients")
    assert {chart.title: list(chart.lines) for chart in group.charts} == {
        "norm of a term's gradient at the feature map": ["loss1", "total"], "cosine of two terms' gradients": ["loss1 · cam"],
        "distillation : contrast, norms": ["ratio"]}
