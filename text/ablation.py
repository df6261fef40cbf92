"""One table of an ablation of text: a line for each variant, what is known without training, and of its student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.reports.grid import Grid
from evaluation.reports.html import render
from runtime.files import open_table
from text.audit import Audit

# Column heading -> name of the number; shares are shown as percentages.
TEACHER = {"rows": "rows", "cut": "truncated", "twins": "twins", "effective rank": "effective_rank", "tau": "tau",
           "mean entropy": "entropy", "gate closed": "gate_closed", "rows used": "rows_used",
           "teacher zero-shot": "teacher_zeroshot"}
STUDENT = {"mAP": "map", "rank-1": "rank1", "kNN": "knn", "student zero-shot": "zeroshot"}
SHARES = {"gate_closed", "rows_used", "teacher_zeroshot", *STUDENT.values()}
NOTES = (
    "All lines share images, teacher, seed and flags; only the rows differ. One seed: differences of a few points are "
    "within chance, repeat with other --seed values before believing one.",
    "Distillation does not know which row is whose, so shuffled descriptions train the very student that unshuffled "
    "ones do; only accuracy differs. Names with another class's description are the control that training notices.",
    "Random words are the descriptions' own words dealt out anew (WaffleCLIP, arXiv 2306.07282). Where they do as "
    "well, the gain comes from having many different rows, not from what they say.",
    "tau is one for all lines of text unless --match-entropy sets it line by line; centroids always get their own. A "
    "line whose gate is closed hardly distils.",
)


@dataclass(frozen=True)
class VariantResult:
    """A variant and its numbers; shares in [0, 1]. `student` is {} without training, `note` says why if need be."""

    key: str
    title: str
    teacher: dict[str, float]
    student: dict[str, float] = field(default_factory=dict)
    note: str = ""


def summarise_audit(audit: Audit) -> dict[str, float]:
    """What an audit says of rows without any training."""
    rows = len(audit.names)
    numbers = {"rows": rows, "truncated": len(audit.truncated), "twins": len(audit.near_duplicates),
               "effective_rank": audit.rank,
               "tau": audit.gating.temperature, "entropy": audit.gating.mean, "gate_closed": audit.gating.closed,
               "rows_used": 1 - len(audit.unused) / rows}
    if audit.accuracy is not None:
        numbers |= {"teacher_zeroshot": audit.accuracy.top1, "teacher_zeroshot5": audit.accuracy.top5}
    return {name: float(value) for name, value in numbers.items()}


def find_filled_columns(lines: Sequence[VariantResult]) -> dict[str, str]:
    """The columns that some line fills."""
    known = {name for line in lines for name in (*line.teacher, *line.student)}
    return {title: name for title, name in {**TEACHER, **STUDENT}.items() if name in known}


def format_number(name: str, value: float | None) -> str:
    """A number as people read it."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if name in SHARES else f"{value:.4g}"


def write_ablation_csv(path: Path, lines: Sequence[VariantResult]) -> None:
    """ablation.csv: every number of every variant, shares in [0, 1]."""
    names = list(dict.fromkeys(name for line in lines for name in (*line.teacher, *line.student)))
    with open_table(path) as writer:
        writer.writerow(["variant", "text", *names, "note"])
        for line in lines:
            values = {**line.teacher, **line.student}
            writer.writerow([line.key, line.title, *(values.get(name, "") for name in names), line.note])


def render_text(lines: Sequence[VariantResult]) -> str:
    """The table for a terminal."""
    columns = find_filled_columns(lines)
    grid = [["variant", *columns]]
    for line in lines:
        values = {**line.teacher, **line.student}
        grid.append([line.key, *(format_number(name, values.get(name)) for name in columns.values())])
    widths = [max(map(len, column)) for column in zip(*grid)]
    return "\n".join("  ".join(cell.ljust(width) if place == 0 else cell.rjust(width)
                               for place, (cell, width) in enumerate(zip(row, widths))) for row in grid)


def render_ablation(lines: Sequence[VariantResult], lead: str) -> str:
    """ablation.html: the table, the best student numbers in bold, and how to read it."""
    return render("ablation", lead=lead, grid=tabulate_variants(lines), notes=NOTES)


def tabulate_variants(lines: Sequence[VariantResult]) -> Grid:
    """The table of the page."""
    columns = find_filled_columns(lines)
    best = {name: max((line.student.get(name, -1.0) for line in lines), default=-1.0) for name in STUDENT.values()}
    cells, strong = [], set()
    for place, line in enumerate(lines):
        values = {**line.teacher, **line.student}
        cells.append([line.title + (f" ({line.note})" if line.note else ""),
                      *(format_number(name, values.get(name)) for name in columns.values())])
        strong |= {(place, column) for column, name in enumerate(columns.values(), start=1)
                   if name in best and values.get(name) == best[name]}
    head = ["text", *(f"{title}, %" if name in SHARES else title for title, name in columns.items())]
    return Grid("", "", head, cells, range(1, len(head)), strong)
