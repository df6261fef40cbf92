"""Do numbers that need no labels tell a good network from a bad one? Spearman's correlation over networks and features.

python -m benchmarks.studies.labelfree --task flowers17 --root flowers17 --out study --size 96 \\
    --row "start=package:efficientnet-lite0" --row "MoCo=checkpoints/moco_{seed}" --row "LEAD++=checkpoints/lead_{seed}"
All is measured on the training images: kNN and mAP leave each image out, the linear (ridge) classifier is asked about a
fifth that it has not seen. Of every network backbone, backbone centred, head, and both side by side.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from benchmarks.studies.labelfree.options import LabelfreeOptions
from benchmarks.studies.options import find_label_faults
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from runtime.devices import list_device_problems


def parse(argv: Sequence[str] | None = None) -> LabelfreeOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m benchmarks.studies.labelfree",
                    description="Which numbers without labels follow those with labels.")
    add_options(parser, LabelfreeOptions)
    add_list_left_out(parser)
    options, problems = gather_options(parser, LabelfreeOptions, argv)
    from engine.flags.absent import check_present  # after the flags: --help does without torch

    problems.lines += find_label_faults([row.label for row in options.row], ())
    problems.lines += list_device_problems(options.device)
    problems.lines += list_overlaps(options, (f"{options.table}.csv", f"{options.table}_networks.csv"))
    problems.refuse(lambda: check_present(options))
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from benchmarks.studies.labelfree.measure import measure_networks, tabulate_correlations, write_networks
    from benchmarks.studies.plain_table import publish_table
    from engine.results_folder import hold_results

    with hold_results(options.out):
        rows = measure_networks(options)
        write_networks(rows, Path(options.out) / f"{options.table}_networks.csv")
        publish_table(tabulate_correlations(options, rows), Path(options.out), options.table)


if __name__ == "__main__":
    exit_cleanly(main)
