"""The groups of flags that commands share."""

from __future__ import annotations

import argparse
import os
import sys

from datasets.layouts.findings import FLAG, VOICE
from engine.flags.parser import Parser, boolean, take_out, toggle
from engine.flags.ranges import ROWS, SEED, THREADS, WORKERS
from engine.flags.words import device

IGNORED = ("--world-size", "--port", "--dist-url", "--dist-backend", "--rank", "--gpu", "--multiprocessing-distributed")


def switch_or_run(text: str) -> bool | str:
    """A boolean, or the name of a finished run."""
    try:
        return boolean(text)
    except argparse.ArgumentTypeError:
        return text


def add_evaluation(parser: Parser, name: str, text: str) -> None:
    """Add the flag that evaluates a finished run in place of training: `--name`, `--name RUN`, `--name false`."""
    parser.add_argument(name, type=switch_or_run, nargs="?", const=True, default=False, metavar="RUN", help=text)


def add_ignored(parser: Parser) -> None:
    """Accept the launch flags of older scripts; `warn_ignored` says that they do nothing."""
    for flag in IGNORED:
        switch = flag == "--multiprocessing-distributed"
        parser.add_argument(flag, nargs="?", const="true", default=None, help=argparse.SUPPRESS,
                            type=boolean if switch else None)


def warn_ignored(args: argparse.Namespace) -> None:
    """One warning for all launch flags that were given but have no effect here; they leave the flags."""
    asked = [flag for flag in IGNORED if take_out(args, flag[2:].replace("-", "_")) is not None]
    if asked and os.environ.get("RANK", "0") == "0":
        print(f"note: {', '.join(asked)} ignored; torchrun's environment decides about processes", file=sys.stderr)


class ListLeftOut(argparse.Action):
    """The flag that asks for every file that is left out of a data set; no part of a run's settings."""

    def __call__(self, *_: object) -> None:
        """Have the list printed after the line that says what was found."""
        VOICE.in_full = True


def add_list_left_out(group: argparse._ActionsContainer) -> None:
    """Add `--list-left-out`, which every command that reads photographs has."""
    group.add_argument(FLAG, action=ListLeftOut, nargs=0, dest=argparse.SUPPRESS, default=argparse.SUPPRESS,
                       help="name every file of the data set that is not read, and why")


def add_data(parser: Parser, *, crops: bool = True, root_required: bool = True) -> argparse._ArgumentGroup:
    """Where the photographs are and how they are read."""
    group = parser.add_argument_group("data")
    group.add_argument("-t", "--task", default="custom", help="name of the data set; picks crop folder and policies")
    group.add_argument("--root", required=root_required, metavar="DIR",
                       help="train/test folders, a raw CUB or FGVC tree, a flat folder, a CSV list, or a crop folder")
    if crops:
        group.add_argument("--crop-root", metavar="DIR", default="auto",
                           help="crops made by run_ddt.sh; auto = DDT/crop_dataset/<task>_crop, none = whole images")
        group.add_argument("--crop-from", choices=("auto", "boxes", "files"), default="auto",
                           help="cut crops from boxes.csv (one decode an image) or read the files")
    group.add_argument("--crop-bottom", type=ROWS, default="auto", metavar="PIXELS",
                       help="rows to drop at the bottom (FGVC's banner); auto = 20 for the task aircraft")
    group.add_argument("-j", "--num-workers", "--workers", type=WORKERS, default="auto",
                       help="loader processes per rank; auto = one per core, at most 8")
    toggle(group, "--skip-bad", False, "leave images out that do not decode instead of refusing to start")
    add_list_left_out(group)
    return group


def add_device(parser: Parser) -> argparse._ArgumentGroup:
    """Where and how precisely the numbers are computed."""
    group = parser.add_argument_group("machine")
    group.add_argument("--device", type=device, default="auto", help="cpu, cuda, or auto = cuda where there is one")
    group.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto",
                       help="auto = whichever is faster for this network here, measured once and stored")
    group.add_argument("--threads", type=THREADS, default=0, metavar="N",
                       help="CPU threads a process, 0 = torch's choice")
    group.add_argument("--seed", type=SEED, default=123, help="everything random is a function of it")
    return group
