"""Finished runs query by query, or several networks under one protocol.

python -m tools.compare my_lead my_moco --figure curves.png      tables with paired intervals, flags, curves
python -m tools.compare --task bird --root bird --out compare --network "initial=package:efficientnet-lite0" \\
    --network "teacher=package:efficientnet-lite2@260" --network "LEAD++=result_bird"

Runs are compared by what main_retrieval.py measured of them, and measured where it did not. Networks are measured anew:
retrieval, kNN and linear probe of each, raw and centred, into one ledger.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.compare import CompareOptions, list_compare_problems
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from runtime.devices import list_device_problems
from runtime.folders.overlaps import lies_in


def parse(argv: Sequence[str] | None = None) -> CompareOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.compare", description="Finished runs query by query, or several networks "
                    "under one protocol.")
    add_options(parser, CompareOptions)
    add_list_left_out(parser)
    options, problems = gather_options(parser, CompareOptions, argv)
    from engine.flags.absent import check_present  # after the flags: --help does without torch

    problems.lines += list_compare_problems(options) + list_device_problems(options.device) + list_overlaps(options)
    problems.lines += [f"--network {network.label}={network.source} lies in --out {options.out}, which is emptied"
                       for network in options.network if lies_in(Path(network.source), Path(options.out))]
    problems.refuse(lambda: check_present(options))
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    if options.runs:
        from engine.workflows.comparison.runs import compare_runs

        return compare_runs(options)
    from engine.workflows.comparison.networks import run_comparison
    from evaluation.reports.table import markdown, read_ledgers

    ledger = run_comparison(options)
    print(markdown(read_ledgers([str(ledger)])) if ledger.stat().st_size else "no labels, no table; see neighbours.png")


if __name__ == "__main__":
    exit_cleanly(main)
