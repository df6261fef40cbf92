"""Flags of main_finetune.py that belong to one method: a teacher's, and the plug-in module's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from engine.flags.parser import Parser, toggle
from engine.flags.ranges import SHARE, TEMPERATURE, WEIGHT, WIDTH
from runtime.names.hub import strip_hub


def add_teacher(parser: Parser) -> None:
    """Who is imitated, and how."""
    group = parser.add_argument_group("distillation (--method distill)")
    group.add_argument("--teacher-model", type=strip_hub, default=None, metavar="NAME",
                       help="timm's name of a public file's network; a file of ours knows its own")
    group.add_argument("--teacher-path", "--teacher-weights", default=None, metavar="FILE",
                       help="the trained teacher: model_last.pth of --method teacher, or the public code's file")
    group.add_argument("--distillation-type", choices=("none", "hard", "soft"), default=None,
                       help="hard = the teacher's class, soft = its probabilities; hard unless given")
    group.add_argument("--distillation-alpha", type=SHARE, default=0.5, help="weight of the teacher, within 0..1")
    group.add_argument("--distillation-tau", type=TEMPERATURE, default=1.0, help="temperature of soft")
    group.add_argument("--distillation-reduction", choices=("batchmean", "legacy"), default="batchmean",
                       help="legacy = also divided by the number of classes, as the public code does")
    toggle(group, "--teacher-cache", False, "ask the teacher once an image, in the evaluation view, not every step")


def add_pim(parser: Parser) -> None:
    """The plug-in module."""
    group = parser.add_argument_group("plug-in module (--method pim)")
    group.add_argument("--taps", nargs="*", type=read_tap, default=None, metavar="NODE",
                       help="where the backbone is tapped, shallow to deep: indices of timm's forward_intermediates or "
                            "names of modules; default: those of the model's name, else its last four levels")
    toggle(group, "--use-fpn", True, "project levels to one width and add deep ones to shallow ones")
    group.add_argument("--fpn-size", type=WIDTH, default=512, help="that width")
    toggle(group, "--use-selection", True, "keep a level's most certain positions, push the others to no class")
    group.add_argument("--num-selects", nargs="*", default=None, metavar="N",
                       help="positions kept by level: layer1=2048,layer2=512,... or a number for each; default 32 each")
    toggle(group, "--use-combiner", True, "one prediction from a graph over the kept positions")
    group.add_argument("--comb-proj-size", type=WIDTH, default=512, help="width before it, without --use-fpn")
    toggle(group, "--class-token", False, "a transformer's class token is a position, as in the public code")
    group.add_argument("--lambda-b", type=WEIGHT, default=0.5, help="weight of each level's mean prediction")
    group.add_argument("--lambda-s", type=WEIGHT, default=0.0, help="weight of kept positions")
    group.add_argument("--lambda-n", type=WEIGHT, default=5.0, help="weight of dropped positions")
    group.add_argument("--lambda-c", type=WEIGHT, default=1.0, help="weight of the combiner")


def read_tap(word: str) -> int | str:
    """An index of timm's `forward_intermediates`, or a module's name."""
    return int(word) if word.removeprefix("-").isdigit() else word


def read_selects(words: Sequence[str | int] | None) -> dict[str, int]:
    """`layer1=2048,layer2=512` or `2048 512 128 32` as level -> positions; {} for None.

    Raises argparse.ArgumentTypeError for anything else.
    """
    pieces = [piece for word in words or () for piece in str(word).split(",") if piece]
    named = dict(piece.split("=", 1) if "=" in piece else (f"layer{place}", piece)
                 for place, piece in enumerate(pieces, start=1))
    if len(named) != len(pieces) or not all(value.isdigit() and int(value) > 0 for value in named.values()):
        raise argparse.ArgumentTypeError(
            f"--num-selects {' '.join(map(str, words))}: give layer1=2048,layer2=512,layer3=128,layer4=32 or one "
            "number above 0 for each level")
    return {name: int(value) for name, value in named.items()}
