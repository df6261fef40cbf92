"""Leave-one-out image retrieval with a frozen encoder: parse, build, run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from engine import distributed
from engine.args import Parser, exit_cleanly, refuse, toggle, warn_ignored
from engine.evaluate.search import run_search, write_search
from engine.evaluate.sources import CHECKPOINTS, find_device, name_run
from engine.evaluate.subject import add_subject, open_subject


def make_parser() -> Parser:
    """All flags, for parsing and for --help."""
    parser = Parser(prog="main_retrieval.py", description="Let every image of a split query all others; no training.")
    add_subject(parser, look_at="full", feature="gap")
    group = parser.add_argument_group("retrieval")
    group.add_argument("-b", "--batch-size", type=int, default=64, help="images at a time; changes no number")
    group.add_argument("--split", choices=("auto", "test", "val", "train"), default="auto",
                       help="auto = test, or train where there is no test")
    group.add_argument("-k", "--neighbours", "--k", type=int, default=6, help="neighbours of a query in the picture")
    group.add_argument("--queries", type=int, default=10, help="queries in the picture, a third of them the worst")
    toggle(group, "--knn", False, "kNN accuracy from the training split, not only within the split")
    group.add_argument("--knn-k", type=int, default=20, help="neighbours that vote")
    group.add_argument("--knn-t", type=float, default=0.07, help="temperature of the votes")
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with automatic values resolved; raises ConfigError with every problem."""
    args = make_parser().parse_args(argv)
    warn_ignored(args)
    problems = [f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}"
                for name in ("batch_size", "neighbours", "queries", "knn_k") if getattr(args, name) < 1]
    refuse(problems + [f"--knn-t must be above 0, not {args.knn_t:g}"] * (args.knn_t <= 0))
    args.device = find_device(args.device)
    args.results_dir = args.results_dir or str(CHECKPOINTS / name_run(args) / "retrieval")
    return args


def main() -> None:
    """The command `python main_retrieval.py --pretrained NAME --root DIR ...`."""
    args = parse()
    device = distributed.start(args.device)
    try:
        search = run_search(open_subject(args, device, args.batch_size), args)
        if distributed.is_main():
            write_search(search, Path(args.results_dir), args)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
