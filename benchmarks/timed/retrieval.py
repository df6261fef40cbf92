"""The two sides of benchmarks/retrieval.py, and what is timed of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.retrieval import PlainScores, rank_gallery, retrieve_one_by_one, score_gallery
from benchmarks.retrieval import RetrievalTimingOptions
from benchmarks.timing import Report, start_benchmark, time_both, time_once
from evaluation.retrieval.score import RetrievalScores, retrieve

CLASSES, GUARDED, COPIES = 200, 100, 50


def make_features(count: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows [N, D] around 200 class centres, and labels [N]."""
    labels = torch.arange(count) % CLASSES
    return torch.randn(CLASSES, width)[labels] + 3 * torch.randn(count, width), labels


def guard(report: Report, features: Tensor) -> None:
    """The reference's product and its sort against torch's own."""
    rows = F.normalize(features, dim=1)
    scores = [score_gallery(rows, rows[query]) for query in range(GUARDED)]
    report.check_reference("product", GUARDED, lambda: [score_gallery(rows, rows[q]) for q in range(GUARDED)],
                           lambda: [torch.mv(rows, rows[q]) for q in range(GUARDED)])
    report.check_reference("sort", GUARDED, lambda: [rank_gallery(one) for one in scores],
                           lambda: [torch.argsort(one, descending=True, stable=True) for one in scores])


def time_retrieval(options: RetrievalTimingOptions) -> int:
    """Time both; every query costs the reference the same, so with --quick it gets only some of them.

    The public code also copies the gallery without the query, every time: that is timed on a few and printed beside.
    """
    report = start_benchmark(options, "retrieval")
    features, labels = (part.to(options.device) for part in make_features(options.count, options.width))
    guard(report, features)
    queries = range(options.count)[:: max(options.count // 200, 1) if options.quick else 1]
    plain_scores: list[PlainScores] = []
    our_scores: list[RetrievalScores] = []

    def plain() -> None:
        plain_scores.append(retrieve_one_by_one(features, labels, queries=queries))

    def ours() -> None:
        our_scores.append(retrieve(features, labels))

    theirs, own = time_both(plain, ours, options.rounds, warm=options.quick)
    few = queries[:: max(len(queries) // COPIES, 1)]
    copying = time_once(lambda: retrieve_one_by_one(features, labels, queries=few, copy_gallery=True))
    found = our_scores[-1].average_precision[list(queries)].nanmean()
    report.add("AGREEMENT", abs(float(found) - plain_scores[-1].map))
    report.add("OURS images/s", options.count / own)
    report.add("RATIO retrieval-copied-gallery", copying / len(few) / (own / options.count))
    return report.finish(theirs / len(queries) / (own / options.count))
