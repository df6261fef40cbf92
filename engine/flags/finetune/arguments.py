"""The command line of main_finetune.py: the names of DeiT's, ConvNeXt's and PIM's public codes, ours beside them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from engine.flags.finetune.options import FinetuneOptions
from engine.flags.finetune.presets import DEIT
from engine.flags.groups import add_ignored, add_list_left_out
from engine.flags.parser import Parser, add_options
from engine.flags.public import FINETUNE_SILENT, add_name
from engine.flags.unread import add_silent


def make_parser() -> Parser:
    """The parser of main_finetune.py, for parsing and for --help."""
    parser = Parser(prog="main_finetune.py", description="Fine-tune a network on labelled photographs: plainly, as a "
                    "teacher, with one, or with the plug-in module.")
    add_options(parser, FinetuneOptions)
    parser.add_argument("--data-path", "--train-root", dest="root", nargs="+", default=argparse.SUPPRESS, metavar="DIR",
                        help="as --root; several folders (or one quoted string with spaces) train together")
    parser.add_argument("--c", "--config", dest="config", default=None, metavar="FILE.yaml", help=argparse.SUPPRESS)
    add_list_left_out(parser)
    add_ignored(parser)
    add_name(parser, "checkpoints")
    add_silent(parser, FINETUNE_SILENT)
    parser.set_defaults(**DEIT)
    return parser


def parse(argv: Sequence[str] | None = None, **told: object) -> FinetuneOptions:
    """The options of main_finetune.py; raises ConfigError that names every problem.

    `told` are options that a program gives by their names, beside or in place of `argv`.
    """
    argv = () if told and argv is None else argv
    make_parser().gather(argv)  # --help and unknown flags end here, before torch is imported
    from engine.flags.finetune.command import FINETUNE_COMMAND

    return FINETUNE_COMMAND.parse(argv, **told)
