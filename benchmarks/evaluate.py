"""Metrics of embeddings at the size of Stanford Online Products' test classes (60,502 x 128, 11,316 classes).

    python -m benchmarks.evaluate --quick        a tenth of the images and classes

Ours gives every metric of docs/metrics.md; the plain way gives Recall@1, 10, 100, 1000 and MAP@R, a query at a time.
The first ratio is without clusters, the last line with k-means, which is the same one for both. PEAK is that of ours;
with clusters it also covers the plain search, which needs less.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.evaluate import (
    DEEPEST,
    PlainMetrics,
    evaluate_one_by_one,
    find_scores,
    find_top,
    score_clusters_plainly,
)
from benchmarks.timing import Report, make_parser, start_benchmark, time_both, time_once
from evaluation.metrics.clustering import score_clusters
from evaluation.metrics.geometry import measure_geometry
from evaluation.retrieval.score import RetrievalScores, retrieve
from runtime.ranges import COUNT_OR_0

COUNT, CLASSES, WIDTH, GUARDED, QUERIES = 60_502, 11_316, 128, 100, 1000


def make_embeddings(count: int, classes: int) -> tuple[Tensor, Tensor]:
    """Unit rows [N, 128] around class centres, and labels [N]."""
    labels = torch.arange(count) % classes
    return F.normalize(torch.randn(classes, WIDTH)[labels] + 1.2 * torch.randn(count, WIDTH), dim=1), labels


def read_peak_memory() -> float:
    """The most memory that this process ever held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def guard(report: Report, rows: Tensor) -> None:
    """The reference's product and top-k against torch's own."""
    scores = [find_scores(rows, query) for query in range(GUARDED)]
    report.check_reference("product", GUARDED, lambda: [find_scores(rows, query) for query in range(GUARDED)],
                           lambda: [torch.mv(rows, rows[query]) for query in range(GUARDED)])
    report.check_reference("top-k", GUARDED, lambda: [find_top(one) for one in scores],
                           lambda: [torch.topk(one, min(DEEPEST, len(one) - 1)) for one in scores])


def main(argv: Sequence[str] | None = None) -> int:
    """Time both; every query costs the reference the same, so it gets only some of them."""
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=COUNT_OR_0, default=0, help="images; 0 = 60,502, --quick a tenth")
    args, report = start_benchmark(parser, argv, "evaluate")
    count = args.count or COUNT // (10 if args.quick else 1)
    rows, labels = make_embeddings(count, max(count * CLASSES // COUNT, 1))
    queries = range(len(rows))[:: max(len(rows) // QUERIES, 1)]
    plain_scores: list[PlainMetrics] = []
    our_scores: list[RetrievalScores] = []

    def ours() -> None:
        our_scores.append(retrieve(rows, labels))
        measure_geometry(rows, labels)

    def plain() -> None:
        plain_scores.append(evaluate_one_by_one(rows, labels, queries))

    ours()
    peak = read_peak_memory()
    guard(report, rows)
    theirs, own = time_both(plain, ours, args.rounds, warm=False)
    theirs *= len(rows) / len(queries)
    with_clusters = time_once(lambda: score_clusters(rows, labels))
    peak_with_clusters = read_peak_memory()
    plain_clusters = time_once(lambda: score_clusters_plainly(rows, labels))
    report.add("PEAK GB", peak)
    report.add("PEAK-WITH-CLUSTERS GB", peak_with_clusters)
    found = our_scores[-1].per_query["map_at_r"][list(queries)].mean()
    report.add("AGREEMENT", abs(float(found) - plain_scores[-1].map_at_r))
    report.add("OURS images/s", len(rows) / own)
    report.add("RATIO evaluate-without-clusters", theirs / own)
    return report.finish((theirs + plain_clusters) / (own + with_clusters))


if __name__ == "__main__":
    sys.exit(main())
