"""Curves as inline SVG: text and lines take the page's colours, light, dark or printed, and cost milliseconds.

matplotlib chooses the ticks; its own SVG has fixed colours and ids that clash where a page holds several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 320, 176  # units of the SVG, about pixels
LEFT, RIGHT, TOP, BOTTOM = 46, 312, 10, 152  # of the plot within
TICK_LETTERS = 7  # of a number left of the plot
COLOURS = 8  # that the style sheet has
DOTTED = 12  # up to so many points are shown each


@dataclass(frozen=True)
class Chart:
    """Lines by name over epochs or steps, whose points are (x, y) in order of x; `note` says how to read them.

    `bounds` are the ends of the y axis, None for those of the values.
    """

    title: str
    lines: Mapping[str, Points]
    over: str = "epoch"
    note: str = ""
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Tick:
    """A number on an axis, at a place in the SVG."""

    place: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One line: the number of its colour, name, last value in words, path of the SVG, and places of dots."""

    colour: int
    name: str
    last: str
    path: str
    dots: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Drawing:
    """A chart as the template draws it; `alt` tells in words what the eye sees."""

    title: str
    note: str
    over: str
    alt: str
    across: Sequence[Tick]
    up: Sequence[Tick]
    curves: Sequence[Curve]


def has_points(chart: Chart) -> bool:
    """Whether there is anything to draw: a run that has just begun has no number yet."""
    return any(chart.lines.values())


def draw_chart(chart: Chart) -> Drawing:
    """The chart's geometry; there must be a point on some line, see `has_points`."""
    points = [point for line in chart.lines.values() for point in line]
    across = (min(x for x, _ in points), max(x for x, _ in points))
    up = chart.bounds or widen(min(y for _, y in points), max(y for _, y in points))
    if across[0] == across[1]:  # one epoch: its dot stands in the middle
        across = (across[0] - 0.5, across[1] + 0.5)

    def place(x: float, y: float) -> tuple[float, float]:
        return round(scale(x, across, LEFT, RIGHT), 1), round(scale(y, up, BOTTOM, TOP), 1)

    curves = [draw_curve(number, name, [place(x, y) for x, y in line], line[-1][1])
              for number, (name, line) in enumerate(chart.lines.items()) if line]
    return Drawing(chart.title, chart.note, chart.over, describe_chart(chart),
                   [Tick(place(x, up[0])[0], show_number(x)) for x in choose_ticks(across, whole=True)],
                   [Tick(place(across[0], y)[1], show_tick(y)) for y in choose_ticks(up)], curves)


def draw_curve(number: int, name: str, places: Points, last: float) -> Curve:
    """A line through places of the SVG, each with a dot where there are few."""
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in places)
    return Curve(number % COLOURS, name, show_number(last), path, places if len(places) <= DOTTED else ())


def describe_chart(chart: Chart) -> str:
    """What the chart shows, for those who do not see it."""
    told = [f"{name} {show_number(line[0][1])} at {chart.over} {show_number(line[0][0])}"
            + (f", {show_number(line[-1][1])} at {chart.over} {show_number(line[-1][0])}" if len(line) > 1 else "")
            for name, line in chart.lines.items() if line]
    return f"{chart.title}: {'; '.join(told)}"


def choose_ticks(bounds: tuple[float, float], *, whole: bool = False) -> list[float]:
    """Round numbers within the bounds, only whole ones where asked."""
    low, high = bounds
    slack = 1e-9 * (high - low)
    found = MaxNLocator(nbins=5 if whole else 4, integer=whole, min_n_ticks=1).tick_values(low, high)
    return [float(value) for value in found
            if low - slack <= value <= high + slack and (not whole or float(value).is_integer())]


def widen(low: float, high: float) -> tuple[float, float]:
    """Bounds with some room above and below; a constant stands in the middle."""
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def scale(value: float, bounds: tuple[float, float], start: float, end: float) -> float:
    """Where a value lies between two places of the SVG."""
    return start + (value - bounds[0]) / (bounds[1] - bounds[0]) * (end - start)


def show_number(value: float) -> str:
    """Four digits, of whole numbers all."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def show_tick(value: float) -> str:
    """A number in the room beside the axis: with an exponent where its digits would be cut off."""
    text = show_number(value)
    return text if len(text) <= TICK_LETTERS else f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e")


def thin_line(line: Points, most: int = 400) -> Points:
    """A long line as the means of equal parts of it."""
    if len(line) <= most:
        return line
    edges = [number * len(line) // most for number in range(most + 1)]
    parts = [line[start:end] for start, end in zip(edges, edges[1:])]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]
