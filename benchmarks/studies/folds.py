"""A fixed fifth of the training split held out as a test split of its own, to choose settings without touching test.

python -m benchmarks.studies.folds --root bird --fold 0 --out folds/bird_0
Fold k holds every fifth image of each class, counted in the order of the keys (position % 5 == k); without labels every
fifth of all. The new data set is a tree of symbolic links; the real test split has no part in it. Kept images are keyed
train/<class>/<file> as in a data set of train/ and test/ folders, so that its crops serve: --crop-root <its crops>.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.studies.options import FOLDS
from datasets.layouts.read import need_root
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from runtime.folders.overlaps import find_overlaps
from runtime.options import Options, flag
from runtime.ranges import whole_number


@dataclass(frozen=True, kw_only=True)
class FoldsOptions(Options):
    """Which fifth of which data set, and where its links are made."""

    root: str = flag(None, None, "the data set, in any layout", metavar="DIR", required=True)
    fold: int = flag(0, whole_number(0, FOLDS - 1), f"which fifth is held out, 0 to {FOLDS - 1}")
    out: str = flag(None, None, "where the links are made; an earlier fold goes", metavar="DIR", required=True)


def parse(argv: Sequence[str] | None = None) -> FoldsOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m benchmarks.studies.folds",
                    description="A fifth of the training split as a test split.")
    add_options(parser, FoldsOptions)
    add_list_left_out(parser)
    options, problems = gather_options(parser, FoldsOptions, argv)
    problems.lines += find_overlaps({"--out": Path(options.out)}, [("--root", Path(options.root))])
    problems.refuse(lambda: need_root(Path(options.root)))
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from benchmarks.studies.links import link_fold  # after the flags: --help does without torch

    splits = link_fold(Path(options.root), options.fold, Path(options.out))
    print(f"{options.out}: {len(splits['train'])} training images, {len(splits['test'])} held out as test (fold "
          f"{options.fold} of {FOLDS})")
    if not all(sample.key.startswith("train/") for sample in splits["train"]):
        print("note: the data set has no train/ folder, so keys are new and its crops do not serve", file=sys.stderr)


if __name__ == "__main__":
    exit_cleanly(main)
