"""Charts: points stand where a ruler would put them, ticks are round, and one epoch is enough."""

from __future__ import annotations

import re

import pytest

from evaluation.reports.html import TEMPLATES
from evaluation.reports.run.charts import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    choose_ticks,
    draw_chart,
    show_number,
    show_tick,
    thin_line,
)


def test_points_stand_where_a_ruler_puts_them() -> None:
    drawing = draw_chart(Chart("t", {"a": [(1, 0.0), (2, 0.25), (5, 1.0)]}, bounds=(0, 1)))
    (curve,) = drawing.curves
    expected = [(LEFT + (x - 1) / 4 * (RIGHT - LEFT), BOTTOM - y * (BOTTOM - TOP)) for x, y in [(1, 0), (2, 0.25), (5, 1)]]
    assert curve.dots == [pytest.approx(point, abs=0.06) for point in expected]
    assert curve.path == "M" + " L".join(f"{x:g} {y:g}" for x, y in curve.dots) and curve.last == "1"


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 30, 100, 1000])
def test_epochs_are_whole_numbers_and_within_the_plot(epochs: int) -> None:
    drawing = draw_chart(Chart("t", {"a": [(epoch, 1 / epoch) for epoch in range(1, epochs + 1)]}))
    assert drawing.across and all(tick.text.isdecimal() and 1 <= int(tick.text) <= epochs for tick in drawing.across)
    assert all(LEFT <= tick.place <= RIGHT for tick in drawing.across)
    assert 2 <= len(drawing.up) <= 6 and all(TOP <= tick.place <= BOTTOM for tick in drawing.up)
    assert bool(drawing.curves[0].dots) == (epochs <= 12)


def test_one_epoch_and_a_constant_stand_in_the_middle() -> None:
    drawing = draw_chart(Chart("t", {"a": [(1, 3.0)]}))
    assert drawing.curves[0].dots == [((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2)] and [tick.text for tick in drawing.across] == ["1"]
    level = draw_chart(Chart("t", {"a": [(1, 0.0), (2, 0.0)]})).curves[0].dots
    assert {y for _, y in level} == {(TOP + BOTTOM) / 2}


def test_ticks_are_round_and_within() -> None:
    assert choose_ticks((0, 1)) == [0, 0.25, 0.5, 0.75, 1]
    assert choose_ticks((0.5, 1.5), whole=True) == [1]
    assert [show_number(value) for value in (3.0, 0.1 + 0.2, 1234567.0, 0.00012345)] == ["3", "0.3", "1234567", "0.0001234"]


def test_the_words_for_those_who_do_not_see_it() -> None:
    chart = Chart("kNN", {"head": [(1, 0.5), (4, 0.75)], "gap": [(1, 0.25)]})
    assert draw_chart(chart).alt == "kNN: head 0.5 at epoch 1, 0.75 at epoch 4; gap 0.25 at epoch 1"


def test_a_long_line_keeps_its_mean_and_end() -> None:
    line = [(step, float(step)) for step in range(1, 2001)]
    short = thin_line(line, 400)
    assert len(short) == 400 and short[-1][0] == 2000
    assert sum(y for _, y in short) / 400 == pytest.approx(1000.5)
    assert thin_line(line[:400]) == line[:400]


def test_the_template_draws_the_same_plot() -> None:
    macro = (TEMPLATES / "macros.html").read_text(encoding="utf-8").partition("macro show_chart")[2]
    assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in macro and f"M{LEFT} {BOTTOM} H{RIGHT}" in macro
    style = (TEMPLATES / "base.html").read_text(encoding="utf-8")
    assert set(re.findall(r"\.c(\d) \{ color: var\(--c\1\)", style)) == {str(number) for number in range(COLOURS)}
    assert all(style.count(f"--c{number}: #") == 2 for number in range(COLOURS))  # light and dark


def test_numbers_beside_the_axis_fit_there() -> None:
    assert [show_tick(value) for value in (0.000168, 0.00016, -0.000168, 1234567, 1e-5, 0.25, 3.0)] == [
        "1.68e-4", "0.00016", "-1.68e-4", "1234567", "1e-05", "0.25", "3"]
    drawn = draw_chart(Chart("rate", {"rate": [(1, 1.5e-4), (2, 1.6e-4)]}))
    assert drawn.up and all(len(tick.text) <= 8 for tick in drawn.up)
