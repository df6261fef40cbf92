"""Does a metric loss help on classes it never saw? Networks over several class-disjoint splits, with intervals.

python -m benchmarks.studies.partitions --root flowers17 --out study --partitions 0 1 2 --seeds 0 1 \\
    --against baseline --row "frozen=package:efficientnet-lite0" \\
    --row "baseline=checkpoints/ms_{partition}_{seed}/model_last.pth" \\
    --row "PSD=checkpoints/psd_{partition}_{seed}/model_last.pth" --rerank alpha-qe diffusion
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch

from benchmarks.studies.class_splits import (
    METRICS,
    Look,
    StudyNetwork,
    estimate_differences,
    estimate_means,
    find_run_faults,
    read_run,
    score_partition,
)
from benchmarks.studies.networks import find_label_faults
from benchmarks.studies.plain_table import format_estimate, publish_table
from datasets.layouts.collections import FOLDERS
from datasets.loader import count_workers
from datasets.places import list_overlaps
from datasets.views.recipes import AUGMENTATIONS
from engine.flags.absent import check_present
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser
from engine.results_folder import hold_results
from evaluation.metrics.bootstrap import DRAWS, Values
from evaluation.retrieval.rerank import METHODS, Reranking
from runtime.devices import list_device_problems, resolve_device
from runtime.names.safe import safe_name
from runtime.ranges import COUNT, SEED, SIDE_OR_0, THREADS, WORKERS
from runtime.words import device

Scores = dict[tuple[int, str], list[Values]]  # network and re-ranking -> for each partition [metrics, seeds, queries]


def parse_study_network(text: str) -> StudyNetwork:
    """"LABEL=SOURCE"."""
    label, equals, source = text.partition("=")
    if not (label.strip() and equals and source.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=SOURCE")
    return StudyNetwork(label.strip(), source.strip())


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m benchmarks.studies.partitions",
                    description="Metric learning over several class-disjoint splits.")
    parser.add_argument("--row", type=parse_study_network, action="append", required=True, metavar="LABEL=SOURCE",
                        help="a network: weights in which {partition} and {seed} stand for each of both; once a row")
    parser.add_argument("--against", required=True, metavar="LABEL", help="the row that the others are compared with")
    parser.add_argument("--root", required=True, metavar="DIR", help="the data set, as for main_metric.py")
    add_list_left_out(parser)
    parser.add_argument("--dataset", choices=tuple(FOLDERS), default=None, help="as for main_metric.py")
    parser.add_argument("-t", "--task", default="custom", help="name of the data set, and of the files written")
    parser.add_argument("--out", default="study", metavar="DIR", help="where the tables are written")
    parser.add_argument("--partitions", type=SEED, nargs="+", default=[0, 1, 2, 3, 4], help="--partition of the runs")
    parser.add_argument("--seeds", type=SEED, nargs="+", default=[0, 1, 2], help="--seed of the runs")
    parser.add_argument("--rerank", nargs="*", choices=METHODS[1:], default=[], help="re-rankings to try on every row")
    parser.add_argument("--augmentation", choices=tuple(AUGMENTATIONS), default=None,
                        help="its test view is used; default: as each run was trained, else base")
    parser.add_argument("--size", type=SIDE_OR_0, default=0,
                        help="pixels of the view's side; 0 = as each run was trained, else as the others, else 224")
    parser.add_argument("--draws", type=COUNT, default=DRAWS, help="resamples of the bootstrap")
    parser.add_argument("--device", type=device, default="auto", help="cpu, cuda, or auto")
    parser.add_argument("-j", "--num-workers", type=WORKERS, default="auto", help="loader processes")
    parser.add_argument("--threads", type=THREADS, default=0, metavar="N", help="CPU threads, 0 = torch's choice")
    return parser


def name_partition_table(args: argparse.Namespace) -> str:
    """What the table's files are called."""
    return f"{safe_name(args.task, room=20)}_partitions"


def list_partition_problems(args: argparse.Namespace) -> list[str]:
    """A line for every label that is not unique or unknown, and for weights that are not there or of another run."""
    problems = find_label_faults([row.label for row in args.row], [args.against])
    files = [file for row in args.row for file in row.runs(args.partitions, args.seeds)
             if not file.startswith("package:")]
    problems += [f"{file}: no such weights; train that partition and seed first, or ask for fewer" for file in files
                 if not Path(file).is_file()]
    wanted = {"dataset": args.dataset, "augmentation": args.augmentation, "size": args.size}
    problems += [fault for row in args.row for partition in args.partitions
                 for file in row.runs([partition], args.seeds) for fault in find_run_faults(file, partition, wanted)]
    return problems + list_device_problems(args.device) + list_overlaps(args, (f"{name_partition_table(args)}.csv",))


def make_look(args: argparse.Namespace) -> Look:
    """How networks are looked at; those that are of no run, as the runs beside them where those agree."""
    runs = [read_run(file) for row in args.row for file in row.runs(args.partitions, args.seeds)]
    sizes = {int(run["size"]) for run in runs if run.get("size")}
    views = {str(run["augmentation"]) for run in runs if run.get("augmentation")}
    return Look(args.root, args.dataset, args.augmentation or (views.pop() if len(views) == 1 else "base"),
                args.size or (sizes.pop() if len(sizes) == 1 else 224), count_workers(args.num_workers),
                resolve_device(args.device))


def score_partitions(args: argparse.Namespace) -> Scores:
    """Every network's scores under every re-ranking, partition by partition."""
    look = make_look(args)
    plans = [Reranking(how=how) for how in ("none", *args.rerank)]
    scores: Scores = {}
    for partition in args.partitions:
        print(f"partition {partition}", file=sys.stderr)
        for place, seeds in score_partition(args.row, partition, args.seeds, plans, look):
            scores.setdefault(place, []).append(np.stack([[v[name] for v in seeds] for name in METRICS]))
    return scores


def tabulate_partitions(args: argparse.Namespace, scores: Scores) -> list[list[str]]:
    """Head and rows: means of each network, differences from the reference, then what each re-ranking adds."""
    reference = [row.label for row in args.row].index(args.against)
    table = [["network", "search", *METRICS, *(f"{name}, more than {args.against}" for name in METRICS)]]
    for number, row in enumerate(args.row):
        means, gains = compare_networks(args, scores, (number, "none"), (reference, "none"))
        same = number == reference
        table.append([row.label, "cosine", *means, *(["–"] * len(METRICS) if same else gains)])
    for how in args.rerank:
        for number, row in enumerate(args.row):
            means, gains = compare_networks(args, scores, (number, how), (number, "none"))
            table.append([row.label, f"{how}, differences from its own cosine", *means, *gains])
    return table


def compare_networks(
    args: argparse.Namespace, scores: Scores, place: tuple[int, str], other: tuple[int, str]
) -> tuple[list[str], list[str]]:
    """Means of one network and search, and paired differences from another, one cell a metric."""
    pairs = zip(scores[place], scores[other], strict=True)
    stacked = [np.stack([other_part, part]) for part, other_part in pairs]
    means, gains = [], []
    for metric in range(len(METRICS)):
        parts = [values[:, metric] for values in stacked]
        means.append(format_estimate(estimate_means(parts, draws=args.draws)[1]))
        gains.append(format_estimate(estimate_differences(parts, 0, draws=args.draws)[1], difference=True))
    return means, gains


def main() -> None:
    """The command."""
    args, problems = make_parser().gather()
    problems.lines += list_partition_problems(args)
    problems.refuse(lambda: check_present(args))
    if args.threads:
        torch.set_num_threads(args.threads)
    with hold_results(args.out):
        publish_table(tabulate_partitions(args, score_partitions(args)), Path(args.out), name_partition_table(args))


if __name__ == "__main__":
    exit_cleanly(main)
