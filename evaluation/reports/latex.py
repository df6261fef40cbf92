"""Tables for papers: LaTeX with booktabs."""

from __future__ import annotations

from evaluation.reports.grid import Grid

SIGNS = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
         "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}


def latex_grid(grid: Grid) -> str:
    """The table as a `tabular` between rules (package booktabs), its caption as a comment; what stands out in bold."""
    lines = [[f"\\textbf{{{escape_latex(cell)}}}" if (line, column) in grid.strong else escape_latex(cell)
              for column, cell in enumerate(cells)] for line, cells in enumerate(grid.cells)]
    kinds = "".join("r" if column in grid.numbers else "l" for column in range(len(grid.head)))
    head = " & ".join(escape_latex(cell) for cell in grid.head)
    body = [" & ".join(line) + r" \\" for line in lines]
    told = " ".join(f"{grid.title}. {grid.caption}".split()).removeprefix(". ")
    return "\n".join([f"% {told}", f"\\begin{{tabular}}{{{kinds}}}", r"\toprule", f"{head} \\\\", r"\midrule", *body,
                      r"\bottomrule", r"\end{tabular}"])


def escape_latex(text: str) -> str:
    """A text in which no sign is a command; line breaks become spaces."""
    return "".join(SIGNS.get(sign, sign) for sign in " ".join(text.split()))
