"""The command line of main_metric.py: the public OBD-SD code's names, ours beside them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from engine.flags.groups import add_ignored, add_list_left_out
from engine.flags.metric.losses import add_loss_flags
from engine.flags.metric.options import MetricOptions
from engine.flags.parser import Parser, add_options
from engine.flags.public import OBDSD_SILENT, add_name
from engine.flags.unread import add_silent
from runtime.ranges import WORKERS


def make_parser() -> Parser:
    """The parser of main_metric.py, for parsing and for --help."""
    parser = Parser(prog="main_metric.py", description="Learn embeddings of some classes in which others are found.")
    add_options(parser, MetricOptions)
    parser.add_argument("--source-path", "--source", dest="root", default=argparse.SUPPRESS, metavar="DIR",
                        help="the public code's --root: the folder that holds the data set's own")
    parser.add_argument("--kernels", dest="num_workers", type=WORKERS, default=argparse.SUPPRESS,
                        help=argparse.SUPPRESS)
    add_list_left_out(parser)
    add_loss_flags(parser.add_argument_group("options of the losses"))
    add_ignored(parser)
    add_name(parser, "checkpoints")
    add_silent(parser, OBDSD_SILENT)
    return parser


def parse(argv: Sequence[str] | None = None, **told: object) -> MetricOptions:
    """The options of main_metric.py; raises ConfigError that names every problem.

    `told` are options that a program gives by their names, beside or in place of `argv`.
    """
    argv = () if told and argv is None else argv
    make_parser().gather(argv)  # --help and unknown flags end here, before torch is imported
    from engine.flags.metric.command import METRIC_COMMAND

    return METRIC_COMMAND.parse(argv, **told)
