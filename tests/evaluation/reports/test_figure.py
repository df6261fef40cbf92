"""Names in figures: `$` is a dollar sign, a leading dash hides no label, no line breaks."""

from __future__ import annotations

from pathlib import Path

import matplotlib.text
import pytest
import torch

from benchmarks.studies.figure import draw_study
from engine.curves import draw_curves
from evaluation.metrics.calibration import calibrate
from evaluation.reports.confusion import draw_confusion
from evaluation.reports.figure import label_text, load_pyplot
from evaluation.reports.ledger_report import draw_figure
from evaluation.reports.reliability import draw_reliability
from evaluation.reports.table import Measurement

NAMES = ("$0_$5", "US$1", "$10 bill $", "_under", "two\nlines", "%s {x} \\frac", "   ", "caf\udce9")


@pytest.fixture
def mathematics(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that matplotlib takes for mathematics."""
    seen: list[str] = []
    ask = matplotlib.text.Text._preprocess_math

    def note(text: matplotlib.text.Text, shown: str) -> tuple[str, bool | str]:
        result = ask(text, shown)
        if result[1]:
            seen.append(shown)
        return result

    monkeypatch.setattr(matplotlib.text.Text, "_preprocess_math", note)
    return seen


def test_no_figure_takes_names_for_mathematics(tmp_path: Path, mathematics: list[str]) -> None:
    count = len(NAMES)
    draw_confusion(torch.arange(count * count).view(count, count) % 5, NAMES, tmp_path / "c.png", title="$5 to $10")
    shares = torch.softmax(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    draw_reliability(calibrate(shares, torch.arange(20) % 3), tmp_path / "r.png", title="run $1_$")
    metrics = {"map": 0.5, "map_low": 0.4, "map_high": 0.6}
    draw_study([{"task": "$a_$", "label": name, "metrics": metrics, "details": {"trained_with_seed": True}}
                for name in NAMES], tmp_path / "s.png")
    lines = [Measurement(name, "task", "protocol", {"rank1": 0.5}, 1.0) for name in NAMES]
    draw_figure(lines, tmp_path / "f.png")
    assert mathematics == []


def test_logarithmic_axes_have_plain_numbers(tmp_path: Path, mathematics: list[str]) -> None:
    from evaluation.reports.figure import count_powers

    figure, axis = load_pyplot().subplots()
    axis.plot([1, 2], [0.001, 100])
    axis.set(yscale="log")
    count_powers(axis.yaxis)
    figure.savefig(tmp_path / "a.png")
    shown = [tick.get_text() for tick in axis.get_yticklabels()]
    load_pyplot().close(figure)
    assert mathematics == [] and any(shown) and not any("$" in text for text in shown)


def test_a_label_is_shown_whatever_it_begins_with() -> None:
    figure, axis = load_pyplot().subplots()
    axis.plot([1, 2], label=label_text("_under"))
    assert [text.get_text().strip() for text in axis.legend().get_texts()] == ["_under"]
    load_pyplot().close(figure)
    assert label_text("two\nlines") == "two\\x0Alines"


def test_a_log_without_epochs_still_draws(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").is_file()
