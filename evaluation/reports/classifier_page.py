"""All that an evaluation of a classifier found, in one page that opens the files beside it; and their tables."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evaluation.ledger import Result
from evaluation.metrics.classification import ClassScores, SourceScores, TopScores
from evaluation.reports.confusion import list_confusions
from evaluation.reports.html import STYLE
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


def list_pairs(counts: object, names: Sequence[str]) -> Rows:
    """The most frequent errors of a confusion matrix [K, K]."""
    return [{"images of": names[pair.label], "taken for": names[pair.predicted], "how many": pair.count,
             "share": pair.count / pair.images} for pair in list_confusions(counts, CONFUSED)]


def write_page(folder: Path, row: Result, about: str, tables: Mapping[str, Rows]) -> None:
    """evaluation.html: the accuracy, tables by their headings, and every file in the folder that belongs to it."""
    numbers = row.metrics
    present = [name for name in FILES if (folder / name).is_file()]
    lead = (f"{row.images} {row.split} images, {row.details['classes']} classes. 95 % interval of the accuracy over "
            f"images: {numbers['top1_low']:.1%} to {numbers['top1_high']:.1%}.")
    facts = [{"top-1": numbers["top1"], "top-3": numbers["top3"], "top-5": numbers["top5"], "precision":
              numbers["precision"], "recall": numbers["recall"], "F1": numbers["f1"], "ECE": numbers["ece"]}]
    body = [f"<h1>{numbers['top1']:.1%} right</h1><p class=lead>{html.escape(lead)}<br>{html.escape(about)}</p>",
            show_table(facts), "<p class=lead>Precision, recall and F1 are means over classes; ECE is the mean gap "
            "between the probability of the predicted class and how often it is right.</p>",
            *(f"<h2>{html.escape(title)}</h2>{show_table(rows)}" for title, rows in tables.items() if rows),
            *(f"<h2>{name}</h2><a href='{name}'><img src='{name}' alt='{name}'></a>"
              for name in present if name.endswith(".png")),
            "<h2>Files</h2><p>" + ", ".join(f"<a href='{name}'>{name}</a>" for name in present) + "</p>"]
    head = "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
    write_text(folder / PAGE, f"<!doctype html><html lang=en>{head}<title>{html.escape(row.weights)}</title>"
                              f"<style>{STYLE}</style>{''.join(body)}</html>")


def show_table(rows: Rows) -> str:
    """A table as HTML, shares in percent."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{show_cells(row.values())}</tr>' for row in rows)}</table>"


def show_cells(values: Iterable[object]) -> str:
    """The cells of a row."""
    return "".join(f"<td>{html.escape(value)}</td>" if isinstance(value, str) else
                   f"<td class=n>{value:.1%}</td>" if isinstance(value, float) else f"<td class=n>{value}</td>"
                   for value in values)
