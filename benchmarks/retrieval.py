"""Exact retrieval scores of 5,794 x 2,048 features (CUB's test split in ResNet-50's width) against a query at a time.

    python -m benchmarks.retrieval --quick
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.retrieval import PlainScores, rank_gallery, retrieve_one_by_one, score_gallery
from benchmarks.timing import Report, make_parser, start_benchmark, time_both, time_once
from evaluation.retrieval.score import RetrievalScores, retrieve
from runtime.ranges import COUNT, WIDTH

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


def main(argv: Sequence[str] | None = None) -> int:
    """Time both; every query costs the reference the same, so with --quick it gets only some of them.

    The public code also copies the gallery without the query, every time: that is timed on a few and printed beside.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=COUNT, default=5794, help="images")
    parser.add_argument("--width", type=WIDTH, default=2048, help="numbers in a feature")
    args, report = start_benchmark(parser, argv, "retrieval")
    features, labels = make_features(args.count, args.width)
    guard(report, features)
    queries = range(args.count)[:: max(args.count // 200, 1) if args.quick else 1]
    plain_scores: list[PlainScores] = []
    our_scores: list[RetrievalScores] = []

    def plain() -> None:
        plain_scores.append(retrieve_one_by_one(features, labels, queries=queries))

    def ours() -> None:
        our_scores.append(retrieve(features, labels))

    theirs, own = time_both(plain, ours, args.rounds, warm=args.quick)
    few = queries[:: max(len(queries) // COPIES, 1)]
    copying = time_once(lambda: retrieve_one_by_one(features, labels, queries=few, copy_gallery=True))
    found = our_scores[-1].average_precision[list(queries)].nanmean()
    report.add("AGREEMENT", abs(float(found) - plain_scores[-1].map))
    report.add("OURS images/s", args.count / own)
    report.add("RATIO retrieval-copied-gallery", copying / len(few) / (own / args.count))
    return report.finish(theirs / len(queries) / (own / args.count))


if __name__ == "__main__":
    sys.exit(main())
