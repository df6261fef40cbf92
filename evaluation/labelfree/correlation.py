"""How well numbers without labels follow those with labels: Spearman's correlation over networks and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import spearmanr

# Which way is better: RankMe and agreements rise, alignment and uniformity fall, alpha nears 1.
BETTER = {
    "rankme": lambda value: value, "alpha": lambda value: -abs(value - 1), "teacher": lambda value: value,
    "views": lambda value: value, "crop": lambda value: value, "alignment": lambda value: -value,
    "uniformity": lambda value: -value}
LABELLED = ("knn", "map", "linear")


def correlate(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Spearman's correlation of each label-free number (the better the higher) with each labelled one, over the rows.

    A number that a row lacks is left out; NaN where it does not vary.
    """
    found: dict[str, dict[str, float]] = {}
    for name, better in BETTER.items():
        known = [row for row in rows if name in row]
        if len(known) > 2:
            found[name] = {told: float(spearmanr([better(row[name]) for row in known], [row[told] for row in known])[0])
                           for told in LABELLED}
    return found
