"""Linear probe of a frozen encoder: parse, build, run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from engine import distributed
from engine.args import Parser, exit_cleanly, refuse, toggle, warn_ignored
from engine.evaluate.probe import run_probe, write_probe
from engine.evaluate.sources import find_device, name_run
from engine.evaluate.subject import add_subject, open_subject


def make_parser() -> Parser:
    """All flags, for parsing and for --help."""
    parser = Parser(prog="main_linear.py", description="Train a linear classifier on an encoder's frozen features.")
    add_subject(parser, look_at="crop", feature="auto")
    group = parser.add_argument_group("classifier")
    group.add_argument("--protocol", choices=("cached", "seed"), default="cached",
                       help="cached = features of one clean view; seed = the public LEAD code's augmented training")
    group.add_argument("--lr", "--learning-rate", type=float, nargs="+", default=None,
                       help="learning rates to choose among on held-out training images; seed's protocol: one, 30")
    group.add_argument("--epochs", type=int, default=100, help="passes over the training images")
    group.add_argument("-b", "--batch-size", type=int, default=256, help="images of one step of the classifier")
    group.add_argument("--schedule", type=int, nargs="*", default=None,
                       help="epochs at which the rate falls to a tenth; default 60 %% and 80 %% of the epochs")
    toggle(group, "--cos", False, "fall along a cosine instead")
    group.add_argument("--hold-out", type=float, default=0.2, help="share of train that chooses rate and best epoch")
    group.add_argument("--extract-batch-size", type=int, default=64, help="images at a time through the encoder")
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with automatic values resolved; raises ConfigError with every problem."""
    args = make_parser().parse_args(argv)
    warn_ignored(args)
    problems = [f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}"
                for name in ("epochs", "batch_size", "extract_batch_size") if getattr(args, name) < 1]
    if not 0 <= args.hold_out < 1:
        problems.append(f"--hold-out is a share from 0 to below 1, not {args.hold_out}")
    problems += [f"--lr must be above 0, not {rate:g}" for rate in args.lr or () if rate <= 0]
    refuse(problems)
    args.device = find_device(args.device)
    if args.protocol == "seed":
        args.eval_view = "squash"
    args.results_dir = args.results_dir or f"checkpoints_linear/{name_run(args)}"
    return args


def main() -> None:
    """The command `python main_linear.py --pretrained NAME --root DIR ...`."""
    args = parse()
    device = distributed.start(args.device)
    try:
        probe = run_probe(open_subject(args, device, args.extract_batch_size), args)
        if distributed.is_main():
            write_probe(probe, Path(args.results_dir), args)
    finally:
        distributed.stop()


if __name__ == "__main__":
    exit_cleanly(main)
