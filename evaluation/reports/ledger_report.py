"""Reports of ledgers: their tables between the markers of a Markdown file, a page of one file, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.ledger import read_measurements
from evaluation.reports.figure import label_text, load_pyplot
from evaluation.reports.grid import Grid, markdown_grid
from evaluation.reports.html import embed_picture, render
from evaluation.reports.study_table import list_grids
from evaluation.reports.table import Measurement, choose_columns, markdown, read_ledgers, tabulate_measurements
from runtime.errors import ConfigError
from runtime.files import write_atomically

START, END = "<!-- results: made by tools/report.py, do not edit -->", "<!-- end of results -->"


def write_tables(ledgers: Sequence[str]) -> str:
    """All tables of the ledgers in Markdown: single measurements first, then studies."""
    lines = read_ledgers(ledgers)
    return "\n\n".join([markdown(lines)] * bool(lines) + [markdown_grid(grid) for grid in read_grids(ledgers)])


def read_grids(ledgers: Sequence[str]) -> list[Grid]:
    """The studies' tables."""
    return list_grids(row for path in ledgers for row in read_measurements(path))


def insert(text: str, table: str) -> str:
    """The text with everything between the markers replaced; raises ConfigError when it has no markers."""
    if START not in text or END not in text:
        raise ConfigError(f"no place for the table: put the lines `{START}` and `{END}` into the file")
    before, rest = text.split(START, 1)
    return f"{before}{START}\n{table}\n{END}{rest.split(END, 1)[1]}"


def page(
    title: str, lead: str, lines: Sequence[Measurement], pictures: Sequence[tuple[str, Path]],
    grids: Sequence[Grid] = (),
) -> str:
    """One HTML page with tables, notes and pictures inside it."""
    shown = [(name, embed_picture(path.read_bytes())) for name, path in pictures if path.is_file()]
    tables = [tabulate_measurements(lines), *grids] if lines else grids
    return render("report", title=title, lead=lead, grids=tables, pictures=shown)


def draw_figure(lines: Sequence[Measurement], picture: Path) -> None:
    """Every metric of every network as a dot, one row a network, into a PNG."""
    pyplot = load_pyplot()
    columns = choose_columns(lines)
    figure, axes = pyplot.subplots(1, len(columns), figsize=(11, 0.9 + 0.36 * len(lines)), sharey=True)
    places, colours = range(len(lines)), ["#0a6b3d" if "LEAD" in line.name else "#6d7f94" for line in lines]
    for axis, (title, key) in zip(axes, columns.items()):
        values = [100 * line.metrics.get(key, float("nan")) for line in lines]
        axis.grid(axis="y", color="#e4e9ef")
        axis.scatter(values, places, color=colours, zorder=3)
        for place, value in zip(places, values):
            axis.annotate(f"{value:.1f}", (value, place), (6, 0), textcoords="offset points", va="center", fontsize=8)
        known = [value for value in values if value == value]
        low, high = min(known, default=0), max(known, default=1)
        axis.set(title=f"{title}, %", xlim=(low - 0.25 * (high - low) - 1, high + 0.45 * (high - low) + 1), xticks=[])
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    axes[0].set_yticks(list(places), [label_text(line.name) for line in lines])
    axes[0].invert_yaxis()
    figure.tight_layout()
    write_atomically(picture, lambda draft: figure.savefig(draft, dpi=120))
    pyplot.close(figure)
