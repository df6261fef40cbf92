"""A table as text, for Markdown and for pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runtime.names.spelling import escape_cell


@dataclass(frozen=True)
class Grid:
    """A table: title, caption, head, and cells [lines][columns].

    `numbers` are the columns that hold numbers; `strong` are the (line, column) that stand out.
    """

    title: str
    caption: str
    head: Sequence[str]
    cells: Sequence[Sequence[str]]
    numbers: Collection[int]
    strong: Collection[tuple[int, int]] = frozenset()


def markdown_grid(grid: Grid) -> str:
    """The table in Markdown under its title and caption, what stands out in bold."""
    lines = [[f"**{cell}**" if (line, column) in grid.strong else cell for column, cell in enumerate(cells)]
             for line, cells in enumerate(grid.cells)]
    table = "\n".join("| " + " | ".join(escape_cell(cell) for cell in line) + " |"
                      for line in [grid.head, ["---"] * len(grid.head), *lines])
    return "\n\n".join(part for part in (f"**{escape_cell(grid.title)}**" if grid.title else "", grid.caption, table)
                       if part)
