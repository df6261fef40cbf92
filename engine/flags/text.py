"""The flags that every text tool shares: which CLIP reads the descriptions and looks at the images."""

from __future__ import annotations

import argparse

from engine.flags.parser import Parser
from engine.flags.ranges import SIDE_OR_0
from models.teachers.build import CLIP_ARCH
from text.descriptions import AGGREGATES, PLAIN


def add_clip(parser: Parser, *, short: bool = True) -> argparse._ArgumentGroup:
    """CLIP's flags under the names of main_pretrain.py; `short` adds --weights and --arch where they are free."""
    group = parser.add_argument_group("CLIP")
    group.add_argument("--teacher-weights", *["--weights"] * short, default=None, metavar="WEIGHTS",
                       help="a file (OpenAI's or open_clip's), hub (OpenAI's weights) or hub:TAG (open_clip's tag); "
                            "default: the architecture's usual file, if it is here")
    group.add_argument("--teacher-arch", *["--arch"] * short, default=CLIP_ARCH, metavar="NAME",
                       help="open_clip's name of the model; QuickGELU is recognised from OpenAI's files")
    return group


def add_asking(group: argparse._ArgumentGroup) -> None:
    """How CLIP looks at images: main_pretrain.py's flags, so that answers are shared with training by `--cache`."""
    group.add_argument("--teacher-norm", choices=("own", "student"), default="own", help="mean and std for the teacher")
    group.add_argument("--teacher-size", type=SIDE_OR_0, default=0, help="pixels the teacher sees; 0 = its own")
    group.add_argument("--cache", default="cache", metavar="DIR", help="where its answers are kept, or none")
    group.set_defaults(teacher="clip")


def add_encoding(parser: Parser) -> None:
    """How a description becomes a row."""
    group = parser.add_argument_group("encoding")
    group.add_argument("--template", default=PLAIN, metavar="TEXT",
                       help="what CLIP reads, with {name} and {description} filled in")
    group.add_argument("--aggregate", choices=AGGREGATES, default="whole",
                       help="sentences = encode each apart and average: nothing is cut at CLIP's 77 tokens")


