"""Estimates as text, and tables of text as files that a person opens."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.metrics.bootstrap import Estimate
from runtime.files import write_cells, write_text
from runtime.names.spelling import escape_cell


def format_estimate(found: Estimate, *, difference: bool = False) -> str:
    """Points with the interval; a difference stands out where its interval excludes 0 and is inconclusive elsewhere."""
    sign = "+" if difference else ""
    text = f"{100 * found.mean:{sign}.1f} [{100 * found.low:{sign}.1f}, {100 * found.high:{sign}.1f}]"
    if not difference:
        return text
    return f"**{text}**" if found.excludes_zero else f"{text} inconclusive"


def publish_table(table: Sequence[Sequence[str]], out: Path, name: str) -> None:
    """Print a table, whose first line is the head, as Markdown; keep it as `<name>.csv` and `<name>.md` in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_cells(out / f"{name}.csv", ([cell.replace("**", "") for cell in line] for line in table))
    lines = [f"| {' | '.join(map(escape_cell, line))} |" for line in table]
    text = "\n".join([lines[0], "|" + " --- |" * len(table[0]), *lines[1:]]) + "\n"
    write_text(out / f"{name}.md", text)
    print(text)
    print(f"written to {out}: {name}.csv, {name}.md", file=sys.stderr)
