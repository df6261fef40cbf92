"""The flags that every text tool shares: which CLIP reads the descriptions and looks at the images."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from engine.args import ConfigError, Parser
from engine.pretrain_checks import usual_weights
from engine.ranges import SIDE_OR_0
from engine.text import AGGREGATES, PLAIN
from models.teachers import CLIP_ARCH, ClipTeacher, build_teacher


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


def open_clip_teacher(
    args: argparse.Namespace, device: str | torch.device, *, command: str, precision: str = "fp32"
) -> ClipTeacher:
    """The CLIP that the flags name. Raises ConfigError with the one command to run when its weights are not here."""
    weights = args.teacher_weights or usual_weights(args.teacher_arch)
    named = weights is not None and weights.partition(":")[0] not in ("hub", "none", "package")
    if weights is None or (named and not Path(weights).expanduser().is_file()):
        absent = f" ({weights} does not exist)" * named
        raise ConfigError(
            f"text becomes numbers only through CLIP's weights, and those of {args.teacher_arch} are not on this "
            f"machine{absent}. Copy the file here (OpenAI's {args.teacher_arch}.pt, or open_clip's) and run\n"
            f"  {command} --teacher-weights {args.teacher_arch}.pt\n"
            "or let open_clip download it: --teacher-weights hub"
        )
    return build_teacher(
        f"clip:{args.teacher_arch}", weights=weights, precision=precision, device=device,
        norm=getattr(args, "teacher_norm", "own"), size=getattr(args, "teacher_size", 0) or None)
