"""What main_pretrain.py makes of its command line."""

from __future__ import annotations

import argparse

from datasets.files import find_crop_bottom
from engine.flags.absent import follow_max_pool
from engine.flags.layering import Command
from engine.flags.pretrain.arguments import make_parser
from engine.flags.pretrain.checks import check_pretrain_sources, list_pretrain_problems
from engine.flags.pretrain.options import PretrainOptions
from engine.flags.pretrain.presets import PRESETS
from engine.flags.pretrain.readers import READERS
from engine.flags.public import LCR_SILENT, send_elsewhere
from models.weights.usual import usual_weights
from runtime.devices import resolve_device
from runtime.errors import Problems

ENSEMBLE = "tf_efficientnet_lite0+tf_efficientnet_lite2"


def settle_pretrain(args: argparse.Namespace, problems: Problems) -> None:
    """Fill in device, banner, teacher and start weights where the user left them open."""
    args.device = resolve_device(args.device)
    args.crop_bottom = find_crop_bottom(args.crop_bottom, args.task)
    if args.teacher == "auto":
        args.teacher = "clip" if args.text_load not in (None, "none") else ENSEMBLE
    if args.pretrained == "auto":
        args.pretrained = usual_weights(args.arch)
    if args.teacher_weights is None:
        names = [args.teacher_arch] if args.teacher == "clip" else args.teacher.split("+")
        members = [source for name in names if (source := usual_weights(name)) is not None]
        args.teacher_weights = "+".join(members) if len(members) == len(names) else None
    problems.attempt(lambda: follow_max_pool(args))
    problems.lines += send_elsewhere(args)


PRETRAIN_COMMAND = Command(
    options=PretrainOptions,
    make_parser=make_parser,
    presets=PRESETS,
    find_method=lambda first: first.method,
    settle=settle_pretrain,
    check=list_pretrain_problems,
    look=check_pretrain_sources,
    readers=lambda options: READERS,
    silent=LCR_SILENT,
    page="see docs/training.md",
)
