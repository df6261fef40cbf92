"""Does a metric loss help on classes it never saw? Networks over several class-disjoint splits, with intervals.

python -m benchmarks.studies.partitions --root flowers17 --out study --partitions 0 1 2 --seeds 0 1 \\
    --against baseline --row "frozen=package:efficientnet-lite0" \\
    --row "baseline=checkpoints/ms_{partition}_{seed}/model_last.pth" \\
    --row "PSD=checkpoints/psd_{partition}_{seed}/model_last.pth" --rerank alpha-qe diffusion
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.studies.options import PartitionsOptions, find_label_faults
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from runtime.devices import list_device_problems, use_threads


def parse(argv: Sequence[str] | None = None) -> PartitionsOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m benchmarks.studies.partitions",
                    description="Metric learning over several class-disjoint splits.")
    add_options(parser, PartitionsOptions)
    add_list_left_out(parser)
    options, problems = gather_options(parser, PartitionsOptions, argv)
    from engine.flags.absent import check_present  # after the flags: --help does without torch

    problems.lines += list_partition_problems(options)
    problems.refuse(lambda: check_present(options))
    return options


def list_partition_problems(options: PartitionsOptions) -> list[str]:
    """A line for every label that is not unique or unknown, and for weights that are not there or of another run."""
    from benchmarks.studies.class_splits import find_run_faults

    problems = find_label_faults([row.label for row in options.row], [options.against])
    files = [file for row in options.row for file in row.runs(options.partitions, options.seeds)
             if not file.startswith("package:")]
    problems += [f"{file}: no such weights; train that partition and seed first, or ask for fewer" for file in files
                 if not Path(file).is_file()]
    wanted = {"dataset": options.dataset, "augmentation": options.augmentation, "size": options.size}
    problems += [fault for row in options.row for partition in options.partitions
                 for file in row.runs([partition], options.seeds) for fault in find_run_faults(file, partition, wanted)]
    return problems + list_device_problems(options.device) + list_overlaps(options, (f"{options.table}.csv",))


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from benchmarks.studies.class_splits import score_partitions, tabulate_partitions
    from benchmarks.studies.plain_table import publish_table
    from engine.results_folder import hold_results

    use_threads(options.threads)
    with hold_results(options.out):
        publish_table(tabulate_partitions(options, score_partitions(options)), Path(options.out), options.table)


if __name__ == "__main__":
    exit_cleanly(main)
