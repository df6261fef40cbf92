"""Which recipe trains the better classifier? Several, each with several seeds, on the same test images, with intervals.

python -m benchmarks.studies.trials --root flowers17 --out study --seeds 0 1 2 --against plain \\
    --row "plain=checkpoints/plain_{seed}/model_last.pth" --row "hard=checkpoints/hard_{seed}/model_last.pth" \\
    --row "PIM=checkpoints/pim_{seed}/model_last.pth" --row "PIM, all=checkpoints/pim_{seed}/model_last.pth:highest-5"
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.studies.options import TrialsOptions, find_label_faults
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from runtime.devices import list_device_problems, use_threads


def parse(argv: Sequence[str] | None = None) -> TrialsOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m benchmarks.studies.trials",
                    description="Recipes of fine-tuning over several seeds.")
    add_options(parser, TrialsOptions)
    add_list_left_out(parser)
    options, problems = gather_options(parser, TrialsOptions, argv)
    from engine.flags.absent import check_present  # after the flags: --help does without torch

    problems.lines += list_trial_problems(options)
    problems.refuse(lambda: check_present(options))
    return options


def list_trial_problems(options: TrialsOptions) -> list[str]:
    """A line for every label that is not unique or unknown, and for weights that are not there."""
    problems = find_label_faults([row.label for row in options.row], options.against)
    files = dict.fromkeys(row.file(seed) for row in options.row for seed in options.seeds)
    problems += [f"{file}: no such weights; train that seed first" for file in files if not Path(file).is_file()]
    return problems + list_device_problems(options.device) + list_overlaps(options, (f"{options.table}.csv",))


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from benchmarks.studies.plain_table import publish_table
    from benchmarks.studies.recipes import collect_hits, tabulate_trials
    from engine.results_folder import hold_results

    use_threads(options.threads)
    with hold_results(options.out):
        publish_table(tabulate_trials(options, collect_hits(options)), Path(options.out), options.table)


if __name__ == "__main__":
    exit_cleanly(main)
