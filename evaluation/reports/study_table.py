"""Studies in a ledger as tables: means with their intervals, and under them the paired differences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evaluation.ledger import Row
from evaluation.reports.grid import Grid

CAPTION = "Percent: mean over {images} test images{seeds}, with the 95 % interval [low, high] of a bootstrap over them."
HEADINGS = {"rank-1": "rank1", "rank-5": "rank5", "mAP": "map", "kNN, train votes": "knn", "linear": "top1"}
DIFFERENCE = ("Points more than {reference}, paired by image and seed, with the 95 % interval; "
              "bold where it excludes 0.")


def take_studies(rows: Iterable[Row]) -> list[Row]:
    """The study rows of ledgers; of rows with one task and label the last, in the place of the first."""
    return list({(row["task"], row["label"]): row for row in rows if row["kind"] == "study"}.values())


def list_grids(rows: Iterable[Row]) -> list[Grid]:
    """For every task the table of its rows, then one of differences for each row they were compared with."""
    studies = take_studies(rows)
    grids = []
    for task in dict.fromkeys(str(row["task"]) for row in studies):
        chosen = [row for row in studies if row["task"] == task]
        references = dict.fromkeys(name for row in chosen for name in row["details"]["against"])
        grids += [tabulate_means(task, chosen), *(tabulate_differences(task, chosen, name) for name in references)]
    return grids


def tabulate_means(task: str, rows: Sequence[Row]) -> Grid:
    """One line a row; the highest mean of a column stands out."""
    cells = []
    for row in rows:
        metrics, fast = row["metrics"], row["images_per_second"]
        numbers = (f"{100 * metrics[key]:.1f} [{100 * metrics[f'{key}_low']:.1f}, {100 * metrics[f'{key}_high']:.1f}]"
                   for key in HEADINGS.values())
        cells.append((row["label"], *numbers, f"{fast:.0f}", row["details"]["processing"]))
    best = {key: max(row["metrics"][key] for row in rows) for key in HEADINGS.values()}
    strong = {(line, column) for line, row in enumerate(rows) for column, key in enumerate(HEADINGS.values(), start=1)
              if row["metrics"][key] == best[key]}
    caption = CAPTION.format(seeds=name_seeds(rows), images=rows[0]["images"])
    head = ("network", *HEADINGS, "images/s", "features")
    return Grid(task, caption, head, cells, range(1, len(HEADINGS) + 2), strong)


def tabulate_differences(task: str, rows: Sequence[Row], reference: str) -> Grid:
    """One line for each row that was compared with `reference`."""
    compared = [row for row in rows if reference in row["details"]["against"]]
    cells, strong = [], set()
    for line, row in enumerate(compared):
        found = [row["details"]["against"][reference][key] for key in HEADINGS.values()]
        cells.append((row["label"], *(f"{100 * one['mean']:+.1f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]"
                                      for one in found)))
        strong |= {(line, column) for column, one in enumerate(found, start=1) if one["excludes_zero"]}
    return Grid(f"{task}, difference from {reference}", DIFFERENCE.format(reference=reference),
                ("network", *HEADINGS), cells, range(1, len(HEADINGS) + 1), strong)


def name_seeds(rows: Sequence[Row]) -> str:
    """The seeds in words; a table of frozen networks alone has none."""
    counts = {len(row["details"]["seeds"]) for row in rows if row["details"]["trained_with_seed"]}
    return f" and {'/'.join(map(str, sorted(counts)))} seeds (frozen networks have none)" if counts else ""
