"""Tables from ledgers: results.jsonl in, Markdown or one self-contained HTML page out.

python -m tools.report demo/results.jsonl                        print the table
python -m tools.report docs/results.jsonl --write README.md      put it between the markers of a Markdown file
python -m tools.report demo/results.jsonl --html report.html --picture "Boxes=boxes.png" ...
python -m tools.report demo/results.jsonl --figure results.png   the table's numbers as a picture
python -m tools.report docs/study.jsonl --write docs/results.md  a study's means and differences, with intervals
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.studies.figure import draw_study
from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser
from evaluation.ledger import read_measurements
from evaluation.reports.figure import label_text, load_pyplot
from evaluation.reports.grid import Grid, markdown_grid
from evaluation.reports.html import embed_picture, render
from evaluation.reports.study_table import list_grids, take_studies
from evaluation.reports.table import Measurement, choose_columns, markdown, read_ledgers, tabulate_measurements
from runtime.errors import ConfigError
from runtime.files import write_atomically, write_text
from runtime.folders.overlaps import find_overlaps, is_same_path

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


def draw_report_figure(lines: Sequence[Measurement], ledgers: Sequence[str], picture: Path) -> None:
    """The studies of the ledgers, mAP with intervals, where there are any; else every metric of single measurements."""
    studies = take_studies(row for path in ledgers for row in read_measurements(path))
    if studies:
        draw_study(studies, picture)
    else:
        draw_figure(lines, picture)


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.report", description="Tables from results.jsonl files.")
    parser.add_argument("ledgers", nargs="+", metavar="RESULTS.jsonl", help="ledgers, in the order of the table")
    parser.add_argument("--write", metavar="FILE.md", help="put the table between the markers of this file")
    parser.add_argument("--html", metavar="FILE.html", help="write one page with the table and the pictures")
    parser.add_argument("--figure", metavar="FILE.png", help="draw the numbers; of studies mAP with intervals")
    parser.add_argument("--picture", action="append", default=[], metavar="TITLE=FILE", help="a picture for the page")
    parser.add_argument("--lead", default="", help="a sentence under the headline")
    parser.add_argument("--title", default="Plumage results", help="headline of the page")
    return parser


def list_report_problems(args: argparse.Namespace, pictures: Sequence[tuple[str, Path]]) -> list[str]:
    """A line for every picture that is not there, and for outputs that are inputs or one another."""
    outputs = {flag: Path(path) for flag, path in
               (("--write", args.write), ("--html", args.html), ("--figure", args.figure)) if path}
    inputs = [*(("RESULTS.jsonl", Path(path)) for path in args.ledgers),
              *((f"--picture {title}", path) for title, path in pictures)]
    problems = [f"--picture {title}: there is no {path}" for title, path in pictures if not path.is_file()]
    problems += [f"{flag} and {other} are one file" for (flag, one), (other, two)
                 in combinations(outputs.items(), 2) if is_same_path(one, two)]
    return problems + find_overlaps(outputs, inputs)


def main() -> None:
    """The command."""
    args, problems = make_parser().gather()
    pictures = [(title, Path(path)) for title, _, path in (text.partition("=") for text in args.picture)]
    problems.lines += list_report_problems(args, pictures)
    problems.refuse()
    lines, grids = read_ledgers(args.ledgers), read_grids(args.ledgers)
    if args.write:
        path = Path(args.write)
        write_text(path, insert(path.read_text(encoding="utf-8"), write_tables(args.ledgers)))
    if args.html:
        write_text(Path(args.html), page(args.title, args.lead, lines, pictures, grids))
    if args.figure:
        draw_report_figure(lines, args.ledgers, Path(args.figure))
    if not (args.write or args.html or args.figure):
        print(write_tables(args.ledgers))


if __name__ == "__main__":
    exit_cleanly(main)
