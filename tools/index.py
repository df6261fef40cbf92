"""Search indices of embeddings that tools.embed wrote: build, measure against the exact answer, keep.

python -m tools.index photos_embedded --index ivf hnsw ivfpq

Writes index-KIND.faiss into the folder and prints how much of the exact answer each kind finds, and how fast.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.parser import Parser
from engine.results_folder import hold_results
from evaluation.features.store import Embeddings, read_embeddings
from evaluation.retrieval.index import KINDS, IndexPlan, IndexReport, build_index, load_index, measure_index, save_index
from runtime.ranges import COUNT, COUNT_OR_0, SEED, whole_number

HEAD = "index     build s   file MB   ms/query   exact ms"


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.index", description="Build and measure search indices of embeddings.")
    parser.add_argument("folder", metavar="EMBEDDINGS", help="a folder that tools.embed wrote")
    parser.add_argument("--index", nargs="+", choices=KINDS, default=["flat"], help="kinds to build")
    parser.add_argument("--lists", type=COUNT_OR_0, default=0, help="ivf, ivfpq: lists; 0 = 4 sqrt(N)")
    parser.add_argument("--probes", type=COUNT_OR_0, default=0,
                        help="ivf, ivfpq: lists a query looks into; 0 = a sixteenth")
    parser.add_argument("--links", type=whole_number(2), default=32, help="hnsw: neighbours of a node")
    parser.add_argument("--reach", type=COUNT, default=128, help="hnsw: candidates of a search")
    parser.add_argument("--bytes", type=COUNT_OR_0, default=0,
                        help="ivfpq: bytes a row, dividing its width; 0 = up to 64")
    parser.add_argument("--queries", type=COUNT, default=1000, help="embeddings that are queries when it is measured")
    parser.add_argument("--seed", type=SEED, default=0, help="of lists, codes and the embeddings drawn as queries")
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; raises ConfigError with every problem."""
    return make_parser().parse_args(argv)


def tell_index(kind: str, seconds: float, megabytes: float, report: IndexReport) -> str:
    """One line of the table."""
    found = "".join(f"{recall:>10.4f}" for recall in report.recall.values())
    return (f"{kind:<8}{seconds:>9.1f}{megabytes:>10.1f}{report.milliseconds:>11.3f}{report.exact_milliseconds:>11.3f}"
            f"{found}")


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    args = parse(argv)
    folder = Path(args.folder)
    embeddings = read_embeddings(folder)
    with hold_results(folder):
        build_all(args, folder, embeddings)
    print(f"written to {folder}: {', '.join(f'index-{kind}.faiss' for kind in args.index)}")


def build_all(args: argparse.Namespace, folder: Path, embeddings: Embeddings) -> None:
    """Build, keep and measure every kind that is asked for."""
    for number, kind in enumerate(args.index):
        plan = IndexPlan(kind, args.lists, args.probes, args.links, args.reach, args.bytes, args.seed)
        start = time.perf_counter()
        path = save_index(build_index(embeddings.vectors, plan), folder, plan, embeddings.meta)
        seconds = time.perf_counter() - start
        loaded = load_index(path, embeddings.meta)
        report = measure_index(loaded, embeddings.vectors, queries=args.queries, seed=args.seed)
        if number == 0:
            count, width = embeddings.vectors.shape
            print(f"{count} embeddings of {width}, {report.queries} of them queries\n"
                  + HEAD + "".join(f"{f'recall@{depth}':>10}" for depth in report.recall))
        print(tell_index(kind, seconds, path.stat().st_size / 1e6, report))


if __name__ == "__main__":
    exit_cleanly(main)
