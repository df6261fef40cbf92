"""How many names does a folder take, and what is a confidence worth? Someone who knows the kinds names pictures.

python -m benchmarks.studies.naming --task flowers17 --root flowers17 --out study
python -m benchmarks.studies.naming --task flowers17 --root flowers17 --out study \\
    --pretrained package:efficientnet-lite0 flowers_0:head
The pictures that tools.sort proposes, random ones, and those nearest to as many k-means centres get their true names;
counted is who of the others gets the right one. Each seed keeps 90 % of the pictures, the same for all three. Then a
quarter of the kinds is withheld, as if nobody could name them: what is a confidence of 0.9 or more worth?
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.studies.options import NamingOptions
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from runtime.devices import list_device_problems


def parse(argv: Sequence[str] | None = None) -> NamingOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m benchmarks.studies.naming",
                    description="A folder sorted by someone who knows the kinds: names needed, confidence kept.")
    add_options(parser, NamingOptions)
    add_list_left_out(parser)
    options, problems = gather_options(parser, NamingOptions, argv)
    from engine.flags.absent import check_present  # after the flags: --help does without torch

    problems.lines += list_naming_problems(options)
    problems.refuse(lambda: check_present(options))
    return options


def list_naming_problems(options: NamingOptions) -> list[str]:
    """Everything that the words alone tell to be wrong."""
    problems = [f"--{name} names a number twice" for name in ("seeds", "budgets")
                if len(set(getattr(options, name))) < len(getattr(options, name))]
    if len(set(options.pretrained)) < len(options.pretrained):
        problems.append("--pretrained names a network twice")
    if options.withheld in (0, 1):
        problems.append(f"--withheld {options.withheld:g}: some kinds must be withheld, and some named; try 0.25")
    if not options.kept:
        problems.append("--kept 0 leaves no pictures; try 0.9")
    files = ("results.jsonl", f"{options.table}.csv", f"{options.table}.md")
    return problems + list_device_problems(options.device) + list_overlaps(options, files)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from benchmarks.studies.answers import (
        check_lookers,
        measure_naming,
        read_kinds,
        record_naming,
        tabulate_names,
        tabulate_trust,
    )
    from benchmarks.studies.plain_table import publish_table
    from engine.results_folder import hold_results

    images = read_kinds(options)
    subjects = check_lookers(options)
    with hold_results(options.out):
        found = [measure_naming(subject, images, options) for subject in subjects]
        for subject, one in zip(subjects, found, strict=True):
            record_naming(subject, images, one, options)
        publish_table(tabulate_names(options, found), Path(options.out), options.table)
        publish_table(tabulate_trust(options, found), Path(options.out), f"{options.table}_trust")


if __name__ == "__main__":
    exit_cleanly(main)
