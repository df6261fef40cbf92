"""Several networks, several seeds, one view: a table with intervals, and which differences count.

python -m benchmarks.studies.study --task flowers17 --root flowers17 --out study --seeds 0 1 2 --against initial \\
    --row "initial=package:efficientnet-lite0@128" --row "initial, 224 px=package:efficientnet-lite0@224:gap,centred" \\
    --row "ensemble=package:efficientnet-lite0+package:efficientnet-lite2@224:gap,pca=64" \\
    --row "LEAD++=checkpoints/flowers_{seed}@128:head,centred"
python -m tools.report study/results.jsonl     the same table again, as Markdown, page or picture
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.studies.files import Study, write_study
from benchmarks.studies.networks import (
    NetworkScores,
    SplitPair,
    StudyRow,
    check_study_rows,
    find_label_faults,
    parse_study_row,
    score_row,
)
from datasets.images import scan
from datasets.places import list_overlaps
from engine.flags.absent import check_present
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser
from engine.results_folder import hold_results
from evaluation.features.subject import check_classes
from evaluation.ledger import read_results
from evaluation.metrics.bootstrap import DRAWS
from evaluation.reports.grid import markdown_grid
from evaluation.reports.study_table import list_grids
from runtime.devices import list_device_problems
from runtime.ranges import BATCH, COUNT, SEED, THREADS, WORKERS
from runtime.words import device

ROW_HELP = """a network and how to look at it; once for each row.
SOURCE: a folder under checkpoints/, a weights file, package:efficientnet-lite0|1|2, hub, none; {seed} in it stands for
each of --seeds (without it the network is frozen: measured once, the same for every seed); A+B is an ensemble: each
member's features are centred by the training mean and divided by their mean norm, then laid side by side.
SIZE: pixels. FEATURE: backbone (= gap, the default), masked, head. centred: minus the training mean.
pca=D: centred and reduced to D directions of the training split"""


def make_parser() -> Parser:
    """The flags."""
    example = (__doc__ or "").split("\n\n", 1)[1].partition("python -m tools.report")[0].replace("\\\n", "")
    parser = Parser(prog="python -m benchmarks.studies.study",
                    description="Networks and seeds in one table with intervals.",
                    epilog=f"example: {' '.join(example.split())}")
    parser.add_argument("--row", type=parse_study_row, action="append", required=True, help=ROW_HELP,
                        metavar="LABEL=SOURCE@SIZE[:FEATURE][,centred][,pca=D]")
    parser.add_argument("--against", nargs="+", default=[], metavar="LABEL",
                        help="rows that every other row is compared with, image by image and seed by seed")
    parser.add_argument("-t", "--task", default="custom", help="name of the data set, and of the files written")
    parser.add_argument("--root", required=True, metavar="DIR", help="the data set: labelled train and test images")
    add_list_left_out(parser)
    parser.add_argument("--out", default="study", metavar="DIR", help="where results are written; rows are added")
    parser.add_argument("--seeds", type=SEED, nargs="+", default=[0, 1, 2], help="what {seed} stands for")
    parser.add_argument("--draws", type=COUNT, default=DRAWS, help="resamples of the bootstrap")
    parser.add_argument("--seed", type=SEED, default=123, help="of the linear probe and the bootstrap")
    parser.add_argument("-b", "--batch-size", type=BATCH, default=64, help="images at a time; changes no number")
    parser.add_argument("--cache", default="cache", metavar="DIR", help="where features are kept, or none")
    parser.add_argument("--device", type=device, default="auto", help="cpu, cuda, or auto")
    parser.add_argument("-j", "--num-workers", type=WORKERS, default="auto", help="loader processes")
    parser.add_argument("--threads", type=THREADS, default=0, metavar="N", help="CPU threads, 0 = torch's choice")
    return parser


def list_study_problems(args: argparse.Namespace) -> list[str]:
    """Everything that the words alone tell to be wrong."""
    problems = find_label_faults([row.label for row in args.row], args.against)
    if len(set(args.seeds)) < len(args.seeds):
        problems.append("--seeds names a seed twice")
    return problems + list_device_problems(args.device) + list_overlaps(args, ("results.jsonl",))


def read_pair(root: str) -> SplitPair:
    """Both splits; raises DataError when one is missing or has no labels."""
    pair = SplitPair(scan(root, "train", "learned"), scan(root, "test", "learned"))
    check_classes(pair.train, 0)
    check_classes(pair.test, 0)
    return pair


def score_seeds(row: StudyRow, pair: SplitPair, args: argparse.Namespace, name: str) -> tuple[NetworkScores, ...]:
    """A row's scores for each seed; a frozen network is scored once."""
    found, seeds = [], tuple(args.seeds)
    for seed in row.seeds(seeds):
        print(f"{name}: {row.label}, {row.describe()}{f', seed {seed}' * ('{seed}' in row.source)}", file=sys.stderr)
        found.append(score_row(row, seed, pair, args))
    return tuple(found) if len(found) == len(seeds) else tuple(found * len(seeds))


def main() -> None:
    """The command."""
    args, problems = make_parser().gather()
    problems.lines += list_study_problems(args)
    problems.refuse(lambda: check_present(args))
    pair, seeds, out = read_pair(args.root), tuple(args.seeds), Path(args.out)
    check_study_rows(args.row, seeds, pair, args)
    with hold_results(out):
        by_seed = tuple(score_seeds(row, pair, args, f"row {number} of {len(args.row)}")
                        for number, row in enumerate(args.row, start=1))
        study = Study(task=args.task, pair=pair, rows=tuple(args.row), by_seed=by_seed, seeds=seeds,
                      against=tuple(args.against), draws=args.draws, seed=args.seed)
        write_study(study, out)
    added = read_results(out / "results.jsonl")[-len(args.row):]
    print("\n\n".join(map(markdown_grid, list_grids(added))))
    files = f"{study.name}.csv, {study.name}_pairs.csv, {study.name}.npz, results.jsonl"
    print(f"\nwritten to {out}: {files}", file=sys.stderr)


if __name__ == "__main__":
    exit_cleanly(main)
