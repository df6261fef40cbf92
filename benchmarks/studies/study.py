"""Several networks, several seeds, one view: a table with intervals, and which differences count.

python -m benchmarks.studies.study --task flowers17 --root flowers17 --out study --seeds 0 1 2 --against initial \\
    --row "initial=package:efficientnet-lite0@128" --row "initial, 224 px=package:efficientnet-lite0@224:gap,centred" \\
    --row "ensemble=package:efficientnet-lite0+package:efficientnet-lite2@224:gap,pca=64" \\
    --row "LEAD++=checkpoints/flowers_{seed}@128:head,centred"
python -m tools.report study/results.jsonl     the same table again, as Markdown, page or picture
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.studies.options import StudyOptions, find_label_faults
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from runtime.devices import list_device_problems


def make_parser() -> Parser:
    """The flags."""
    example = (__doc__ or "").split("\n\n", 1)[1].partition("python -m tools.report")[0].replace("\\\n", "")
    parser = Parser(prog="python -m benchmarks.studies.study",
                    description="Networks and seeds in one table with intervals.",
                    epilog=f"example: {' '.join(example.split())}")
    add_options(parser, StudyOptions)
    add_list_left_out(parser)
    return parser


def parse(argv: Sequence[str] | None = None) -> StudyOptions:
    """The options; raises ConfigError with every problem."""
    options, problems = gather_options(make_parser(), StudyOptions, argv)
    from engine.flags.absent import check_present  # after the flags: --help does without torch

    problems.lines += list_study_problems(options)
    problems.refuse(lambda: check_present(options))
    return options


def list_study_problems(options: StudyOptions) -> list[str]:
    """Everything that the words alone tell to be wrong."""
    problems = find_label_faults([row.label for row in options.row], options.against)
    if len(set(options.seeds)) < len(options.seeds):
        problems.append("--seeds names a seed twice")
    return problems + list_device_problems(options.device) + list_overlaps(options, ("results.jsonl",))


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from benchmarks.studies.files import Study, write_study
    from benchmarks.studies.networks import check_study_rows, read_pair, score_seeds
    from engine.results_folder import hold_results
    from evaluation.ledger import read_results
    from evaluation.reports.grid import markdown_grid
    from evaluation.reports.study_table import list_grids

    pair, out = read_pair(options.root), Path(options.out)
    check_study_rows(options, pair)
    with hold_results(out):
        by_seed = tuple(score_seeds(row, pair, options, f"row {number} of {len(options.row)}")
                        for number, row in enumerate(options.row, start=1))
        study = Study(task=options.task, pair=pair, rows=options.row, by_seed=by_seed, seeds=options.seeds,
                      against=options.against, draws=options.draws, seed=options.seed)
        write_study(study, out)
    added = read_results(out / "results.jsonl")[-len(options.row):]
    print("\n\n".join(map(markdown_grid, list_grids(added))))
    files = f"{study.name}.csv, {study.name}_pairs.csv, {study.name}.npz, results.jsonl"
    print(f"\nwritten to {out}: {files}", file=sys.stderr)


if __name__ == "__main__":
    exit_cleanly(main)
