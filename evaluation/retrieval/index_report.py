"""Search indices of embeddings: built, kept in their folder, and measured, one line of a table for each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from evaluation.features.store import Embeddings
from evaluation.retrieval.index import IndexPlan, IndexReport, measure_index
from evaluation.retrieval.renewal import renew_index
from evaluation.retrieval.stored import load_index, save_index

HEAD = "index     build s   file MB   ms/query   exact ms"


def build_indices(
    embeddings: Embeddings, folder: Path, plans: Sequence[IndexPlan], queries: int, *, anew: bool = False
) -> None:
    """Build the index of every plan or bring it up to date, keep it, and measure it with `queries` of the embeddings.

    Prints the table, and what was done for each.
    """
    said = []
    for number, plan in enumerate(plans):
        start = time.perf_counter()
        path, what = _keep_index(embeddings, folder, plan, anew)
        seconds = time.perf_counter() - start
        loaded = load_index(path, embeddings.meta)
        report = measure_index(loaded, embeddings.vectors, queries=queries, seed=plan.seed)
        if number == 0:
            count, width = embeddings.vectors.shape
            print(f"{count} embeddings of {width}, {report.queries} of them queries\n"
                  + HEAD + "".join(f"{f'recall@{depth}':>10}" for depth in report.recall))
        print(tell_index(plan.kind, seconds, path.stat().st_size / 1e6, report))
        said.append(f"{plan.kind}: {what}")
    print("\n".join(said))


def _keep_index(embeddings: Embeddings, folder: Path, plan: IndexPlan, anew: bool) -> tuple[Path, str]:
    """The file of a plan's index, and what was done; the index itself is let go of before it is read back."""
    made = renew_index(embeddings, folder, plan, anew=anew)
    return save_index(made.index, folder, made.plan, embeddings.meta, embeddings.contents, made.taught_by), made.said


def tell_index(kind: str, seconds: float, megabytes: float, report: IndexReport) -> str:
    """One line of the table."""
    found = "".join(f"{recall:>10.4f}" for recall in report.recall.values())
    return (f"{kind:<8}{seconds:>9.1f}{megabytes:>10.1f}{report.milliseconds:>11.3f}{report.exact_milliseconds:>11.3f}"
            f"{found}")
