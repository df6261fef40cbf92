"""The flags that say which trained classifier is meant, and how pictures are shown to it."""

from __future__ import annotations

import argparse

from engine.flags.groups import add_device
from engine.flags.parser import Parser, architecture
from engine.flags.ranges import COUNT, SIDE_OR_0
from evaluation.features.sources import EVAL_VIEWS

FOR_PUBLIC = "for a public file: timm's name, or swin-t, resnet50, vit for PIM's"


def add_classifier(parser: Parser) -> argparse._ArgumentGroup:
    """The flags that `open_classifier` reads, but for those of pictures."""
    group = parser.add_argument_group("classifier")
    group.add_argument("--pretrained", required=True, metavar="NAME",
                       help="a folder under checkpoints/, or a file: model_last.pth of main_finetune.py, or of the "
                            "public code of DeiT, ConvNeXt or PIM")
    group.add_argument("-a", "--model", "--arch", dest="arch", type=architecture, default=None, metavar="NAME",
                       help=FOR_PUBLIC)
    add_public(group)
    group.add_argument("--size", type=SIDE_OR_0, default=0, help="pixels of a side; 0 = what the file says")
    group.add_argument("--eval-view", choices=("auto", *EVAL_VIEWS), default="auto",
                       help="how a picture becomes a square; auto = what the file says")
    add_device(parser)
    return group


def add_public(group: argparse._ArgumentGroup) -> None:
    """What a public file does not tell about itself."""
    group.add_argument("--num-selects", type=COUNT, nargs="+", default=None, metavar="N",
                       help="for PIM's: positions that each level keeps; the published numbers are known")
    group.add_argument("--class-names", default=None, metavar="FILE",
                       help="for a public file: its classes in their order, one a line")
