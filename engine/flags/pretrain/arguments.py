"""The command line of main_pretrain.py: the public code's names, ours beside them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.flags.groups import add_ignored, add_list_left_out
from engine.flags.parser import Parser, add_options
from engine.flags.pretrain.options import PretrainOptions
from engine.flags.public import add_lcr, add_name


def make_parser() -> Parser:
    """The parser of main_pretrain.py, for parsing and for --help."""
    parser = Parser(prog="main_pretrain.py", description="Pre-train an encoder on unlabelled photographs.")
    add_options(parser, PretrainOptions)
    add_list_left_out(parser)
    add_ignored(parser)
    add_lcr(parser)
    add_name(parser, "checkpoints")
    return parser


def parse(argv: Sequence[str] | None = None, **told: object) -> PretrainOptions:
    """The options of main_pretrain.py; raises ConfigError that names every problem.

    `told` are options that a program gives by their names, beside or in place of `argv`.
    """
    argv = () if told and argv is None else argv
    make_parser().gather(argv)  # --help and unknown flags end here, before torch is imported
    from engine.flags.pretrain.command import PRETRAIN_COMMAND

    return PRETRAIN_COMMAND.parse(argv, **told)
