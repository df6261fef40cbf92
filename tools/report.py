"""Tables from ledgers: results.jsonl in, Markdown or one self-contained HTML page out.

python -m tools.report demo/results.jsonl                        print the table
python -m tools.report docs/results.jsonl --write docs/demo.md    put it between the markers of a Markdown file
python -m tools.report demo/results.jsonl --html report.html --picture "Boxes=boxes.png" ...
python -m tools.report demo/results.jsonl --figure results.png   the table's numbers as a picture
python -m tools.report docs/study.jsonl --write docs/results_tables.md  a study's means and differences, with intervals
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser, add_options, gather_options
from runtime.files import write_text
from runtime.folders.overlaps import find_overlaps, is_same_path
from runtime.options import Options, flag, repeated, word


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Which ledgers, and what is made of them."""

    ledgers: tuple[str, ...] = word("ledgers, in the order of the table", "RESULTS.jsonl", nargs="+")
    write: str | None = flag(None, None, "put the table between the markers of this file", metavar="FILE.md")
    html: str | None = flag(None, None, "write one page with the table and the pictures", metavar="FILE.html")
    figure: str | None = flag(None, None, "draw the numbers; of studies mAP with intervals", metavar="FILE.png")
    picture: tuple[str, ...] = repeated("a picture for the page", "TITLE=FILE")
    lead: str = flag("", None, "a sentence under the headline")
    headline: str = flag("Plumage results", None, "headline of the page", "--title", metavar="TITLE")

    @property
    def pictures(self) -> list[tuple[str, Path]]:
        """Title and file of each picture."""
        parts = (text.partition("=") for text in self.picture)
        return [(title, Path(path)) for title, _, path in parts]


def parse(argv: Sequence[str] | None = None) -> ReportOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.report", description="Tables from results.jsonl files.")
    add_options(parser, ReportOptions)
    options, problems = gather_options(parser, ReportOptions, argv)
    problems.lines += list_report_problems(options)
    problems.refuse()
    return options


def list_report_problems(options: ReportOptions) -> list[str]:
    """A line for every picture that is not there, and for outputs that are inputs or one another."""
    outputs = {flag: Path(path) for flag, path in
               (("--write", options.write), ("--html", options.html), ("--figure", options.figure)) if path}
    inputs = [*(("RESULTS.jsonl", Path(path)) for path in options.ledgers),
              *((f"--picture {title}", path) for title, path in options.pictures)]
    problems = [f"--picture {title}: there is no {path}" for title, path in options.pictures if not path.is_file()]
    problems += [f"{flag} and {other} are one file" for (flag, one), (other, two)
                 in combinations(outputs.items(), 2) if is_same_path(one, two)]
    return problems + find_overlaps(outputs, inputs)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from benchmarks.studies.figure import draw_report_figure  # after the flags: --help does without torch
    from evaluation.reports.ledger_report import insert, page, read_grids, write_tables
    from evaluation.reports.table import read_ledgers

    # Photographs without labels give pictures and no number: a page of them is what there is to see.
    shown = bool(options.html and options.pictures) and not (options.write or options.figure)
    lines, grids = read_ledgers(options.ledgers, may_be_empty=shown), read_grids(options.ledgers)
    if options.write:
        path = Path(options.write)
        write_text(path, insert(path.read_text(encoding="utf-8"), write_tables(options.ledgers)))
    if options.html:
        write_text(Path(options.html), page(options.headline, options.lead, lines, options.pictures, grids))
    if options.figure:
        draw_report_figure(lines, options.ledgers, Path(options.figure))
    if not (options.write or options.html or options.figure):
        print(write_tables(options.ledgers))


if __name__ == "__main__":
    exit_cleanly(main)
