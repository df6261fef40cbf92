"""Figures with matplotlib: loaded when one is drawn, and labels that it cannot mistake."""

from __future__ import annotations

from types import ModuleType

from matplotlib.axis import Axis

from runtime.typefaces import find_families, make_drawable


def load_pyplot() -> ModuleType:
    """matplotlib.pyplot drawing into files, imported late: it takes a second. `$` in a text is a dollar sign."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"text.parse_math": False, "text.usetex": False, "axes.formatter.use_mathtext": False})
    from matplotlib import pyplot

    return pyplot


def label_text(text: str) -> str:
    """A name that people gave (of a class, a run, a folder) as matplotlib draws it: every sign, on one line.

    Typefaces that have its signs are added to those that all figures use.
    """
    import matplotlib

    shown = make_drawable(text)
    known = matplotlib.rcParams["font.family"]
    families = [family for family in find_families(shown) if family not in known]
    if families:
        matplotlib.rcParams["font.family"] = [*known, *families]
    return f" {shown}" if shown.startswith("_") else shown  # a legend leaves out what begins with a dash below


def count_powers(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis: matplotlib writes them as mathematics, which figures here never are."""
    from matplotlib.ticker import LogFormatter

    for choose in (axis.set_major_formatter, axis.set_minor_formatter):
        choose(LogFormatter(minor_thresholds=(2, 0.4)))
