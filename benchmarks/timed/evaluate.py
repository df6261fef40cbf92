"""The two sides of benchmarks/evaluate.py, and what is timed of them."""

from __future__ import annotations

import resource

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.evaluate import EvaluateTimingOptions
from benchmarks.reference.evaluate import (
    DEEPEST,
    PlainMetrics,
    evaluate_one_by_one,
    find_scores,
    find_top,
    score_clusters_plainly,
)
from benchmarks.timing import Report, start_benchmark, time_both, time_once
from evaluation.metrics.clustering import score_clusters
from evaluation.metrics.geometry import measure_geometry
from evaluation.retrieval.score import RetrievalScores, retrieve

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


def time_evaluation(options: EvaluateTimingOptions) -> int:
    """Time both; every query costs the reference the same, so it gets only some of them."""
    report = start_benchmark(options, "evaluate")
    count = options.count or COUNT // (10 if options.quick else 1)
    rows, labels = (part.to(options.device) for part in make_embeddings(count, max(count * CLASSES // COUNT, 1)))
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
    theirs, own = time_both(plain, ours, options.rounds, warm=False)
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
