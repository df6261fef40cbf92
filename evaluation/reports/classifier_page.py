"""All that an evaluation of a classifier found, in one page that opens the files beside it; and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from evaluation.ledger import Result
from evaluation.metrics.classification import ClassScores, SourceScores, TopScores
from evaluation.reports.confusion import list_confusions
from evaluation.reports.grid import Grid
from evaluation.reports.html import render
from runtime.files import open_table, write_text

BRANCHES, SOURCES, MISTAKES, PAGE = "branches.csv", "sources.csv", "mistakes.png", "evaluation.html"
FILES = ("eval_results.txt", BRANCHES, "classes.csv", SOURCES, "confusion.png", "reliability.png", MISTAKES)
HARDEST, CONFUSED = 15, 15  # lines of the page's lists
Rows = Sequence[Mapping[str, object]]


def write_rows(path: Path, rows: Rows) -> None:
    """A table; shares with six decimals."""
    head = list(rows[0])
    with open_table(path) as writer:
        writer.writerow(head)
        for row in rows:
            cells = (row[name] for name in head)
            writer.writerow([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in cells])


def list_branches(branches: Mapping[str, TopScores]) -> Rows:
    """A row for each branch and ensemble."""
    return [{"branch": name, "top1": tops.top1, "top3": tops.top3, "top5": tops.top5, "images": tops.images}
            for name, tops in branches.items()]


def list_sources(found: SourceScores) -> Rows:
    """A row for each source that has images, with how many of them were taken for which source."""
    return [{"source": name, "top1": tops.top1, "top5": tops.top5, "images": tops.images,
             **{f"taken for {other}": count for other, count in zip(found.scores, taken)}}
            for (name, tops), taken in zip(found.scores.items(), found.confusion.tolist()) if tops.images]


def list_hardest(classes: ClassScores) -> Rows:
    """The tested classes with the lowest F1."""
    tested = [row for row in classes.rows() if row["support"]]
    return sorted(tested, key=lambda row: (row["f1"], row["class"]))[:HARDEST]


def list_pairs(counts: Tensor, names: Sequence[str]) -> Rows:
    """The most frequent errors of a confusion matrix [K, K]."""
    return [{"images of": names[pair.label], "taken for": names[pair.predicted], "how many": pair.count,
             "share": pair.count / pair.images} for pair in list_confusions(counts, CONFUSED)]


def write_classifier_page(folder: Path, row: Result, about: str, tables: Mapping[str, Rows]) -> None:
    """evaluation.html: the accuracy, tables by their headings, and every file in the folder that belongs to it."""
    numbers = row.metrics
    facts = {"top-1": numbers["top1"], "top-3": numbers["top3"], "top-5": numbers["top5"], "precision":
             numbers["precision"], "recall": numbers["recall"], "F1": numbers["f1"], "ECE": numbers["ece"]}
    page = render("classifier", row=row, about=about, facts=tabulate_shares("", [facts]),
                  grids=[tabulate_shares(title, rows) for title, rows in tables.items() if rows],
                  files=[name for name in FILES if (folder / name).is_file()])
    write_text(folder / PAGE, page)


def tabulate_shares(title: str, rows: Rows) -> Grid:
    """The rows as a table, shares in percent."""
    cells = [[f"{value:.1%}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    numbers = [column for column, value in enumerate(rows[0].values()) if not isinstance(value, str)]
    return Grid(title, "", list(rows[0]), cells, numbers)
