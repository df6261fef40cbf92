"""The flags of main_linear.py and main_retrieval.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from datasets.places import PROBE_FILES, check_places
from engine.flags.evaluate.readers import PROBE, SEARCH, settle_evaluation
from engine.flags.evaluate.rerank import add_rerank
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.flags.evaluate.subject import add_subject
from engine.flags.parser import Parser, toggle
from engine.flags.public import PROBE_SILENT, SEARCH_SILENT, add_name, add_probe
from engine.flags.ranges import BATCH, COUNT, EPOCHS, RATE, SHARE_BELOW_1, TEMPERATURE
from engine.flags.unread import add_silent, note_unread, take_silent
from evaluation.features.sources import find_source, name_results_folder
from evaluation.retrieval.protocol import PROTOCOLS
from evaluation.run_record import CHECKPOINTS
from runtime.names.safe import safe_name


def make_probe_parser() -> Parser:
    """The flags of main_linear.py."""
    parser = Parser(prog="main_linear.py", description="Train a linear classifier on an encoder's frozen features.")
    add_subject(parser, look_at="crop", feature="auto")
    group = parser.add_argument_group("classifier")
    group.add_argument("--protocol", choices=("cached", "seed"), default="cached",
                       help="cached = features of one clean view; seed = the public LEAD code's augmented training")
    group.add_argument("--lr", "--learning-rate", type=RATE, nargs="+", default=None,
                       help="learning rates to choose among on held-out training images; seed's protocol: one, 30")
    group.add_argument("--epochs", type=EPOCHS, default=100, help="passes over the training images")
    group.add_argument("-b", "--batch-size", type=BATCH, default=256, help="images of one step of the classifier")
    group.add_argument("--schedule", type=COUNT, nargs="*", default=None,
                       help="epochs, counted from 0, at which the rate falls to a tenth; default 60 %% and 80 %% of "
                            "them. --protocol seed: 60 80, counted from 1")
    toggle(group, "--cos", False, "fall along a cosine instead")
    group.add_argument("--hold-out", type=SHARE_BELOW_1, default=0.2,
                       help="share of train that chooses rate and best epoch")
    group.add_argument("--extract-batch-size", type=BATCH, default=64, help="images at a time through the encoder")
    add_name(parser, "checkpoints_linear")
    add_probe(parser)
    return parser


def parse_probe(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with automatic values resolved; raises ConfigError with every problem."""
    args, problems = make_probe_parser().gather(argv)
    settle_evaluation(args, problems, PROBE)
    problems.refuse(lambda: check_evaluation_sources(args))
    args.results_dir = args.results_dir or f"checkpoints_linear/{name_results_folder(args)}"
    check_places(args, PROBE_FILES)
    note_unread(args, PROBE, take_silent(args, PROBE_SILENT), "see docs/evaluation.md")
    return args


def make_search_parser() -> Parser:
    """The flags of main_retrieval.py."""
    parser = Parser(prog="main_retrieval.py", description="Let every image of a split query all others; no training.")
    add_subject(parser, look_at="full", feature="gap")
    group = parser.add_argument_group("retrieval")
    group.add_argument("-b", "--batch-size", type=BATCH, default=64, help="images at a time; changes no number")
    group.add_argument("--split", choices=("auto", "test", "val", "train"), default="auto",
                       help="auto = test, or where there is none train, or val")
    group.add_argument("--protocol", choices=PROTOCOLS, default="leave-one-out",
                       help="query-gallery = the split queries --gallery; class-disjoint = leave-one-out on classes "
                            "that are not in the training split")
    group.add_argument("--gallery", choices=("train", "val", "test"), default="train",
                       help="the split that is searched with --protocol query-gallery")
    toggle(group, "--clusters", True, "k-means for NMI, AMI and F1")
    group.add_argument("-k", "--neighbours", "--k", type=COUNT, default=6, help="neighbours of a query in the picture")
    group.add_argument("--queries", type=COUNT, default=10, help="queries in the picture, a third of them the worst")
    toggle(group, "--knn", False, "kNN accuracy from the training split, not only within the split")
    group.add_argument("--knn-k", type=COUNT, default=20, help="neighbours that vote")
    group.add_argument("--knn-t", type=TEMPERATURE, default=0.07, help="temperature of the votes")
    add_rerank(parser)
    add_silent(parser, SEARCH_SILENT, nargs="?")
    return parser


def parse_search(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with automatic values resolved; raises ConfigError with every problem."""
    args, problems = make_search_parser().gather(argv)
    settle_evaluation(args, problems, SEARCH)
    problems.refuse(lambda: check_evaluation_sources(args))
    note_unread(args, SEARCH, take_silent(args, SEARCH_SILENT), "see docs/evaluation.md")
    own = "retrieval" if find_source(args.pretrained)[1] else f"retrieval-{safe_name(args.task, room=10)}"
    args.results_dir = args.results_dir or str(CHECKPOINTS / name_results_folder(args) / own)
    return args
