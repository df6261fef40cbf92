"""Embeddings of a folder of photographs, in order: embeddings.npy, ids.csv, meta.json.

python -m tools.embed photos --pretrained my_birds --out photos_embedded
torchrun --nproc-per-node 8 -m tools.embed photos --pretrained my_birds --out photos_embedded

Rows are of unit length. Run it again after a stop and it goes on; tools.index builds a search index of the result.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.images import first_split
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.readers import CROPS, settle_evaluation
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.flags.evaluate.subject import add_subject
from engine.flags.parser import Parser
from engine.flags.ranges import BATCH, COUNT
from engine.results_folder import hold_results
from evaluation.features.store import write_embeddings
from evaluation.features.subject import open_subject
from runtime import distributed


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.embed", description="Write the embeddings of a folder of photographs.")
    parser.add_argument("folder", metavar="IMAGES", help="the photographs: any layout that --root takes elsewhere")
    parser.add_argument("--out", required=True, metavar="DIR", help="where embeddings.npy, ids.csv, meta.json go")
    parser.add_argument("--split", choices=("auto", "train", "val", "test"), default="auto",
                        help="which part of the photographs; auto = test where there is one")
    parser.add_argument("--piece", type=COUNT, default=4096, help="images between two savings")
    parser.add_argument("-b", "--batch-size", type=BATCH, default=64, help="images at a time; changes no number")
    add_subject(parser, look_at="full", feature="gap")
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with automatic values resolved; raises ConfigError with every problem."""
    args, problems = make_parser().gather(argv)
    settle_evaluation(args, problems, CROPS)
    args.root = args.folder
    problems.refuse(lambda: check_evaluation_sources(args))
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    args = parse(argv)
    device = distributed.join_group(args.device)
    try:
        subject = open_subject(args, device, args.batch_size)
        split = args.split if args.split != "auto" else first_split(subject.root, "test", "train")
        with hold_results(args.out):
            meta = write_embeddings(subject, subject.images(split, "ignored"), Path(args.out), args.piece)
        if distributed.is_main():
            speed = f"{meta['images_per_second']:.0f} images/s"
            print(f"{meta['images']} {split} images, {meta['dim']} numbers each, {speed}, "
                  f"with {subject.describe()}\n  in {args.out}: embeddings.npy, ids.csv, meta.json")
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
