"""Which recipe trains the better classifier? Several, each with several seeds, on the same test images, with intervals.

python -m benchmarks.studies.trials --root flowers17 --out study --seeds 0 1 2 --against plain \\
    --row "plain=checkpoints/plain_{seed}/model_last.pth" --row "hard=checkpoints/hard_{seed}/model_last.pth" \\
    --row "PIM=checkpoints/pim_{seed}/model_last.pth" --row "PIM, all=checkpoints/pim_{seed}/model_last.pth:highest-5"
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch

from benchmarks.studies.networks import find_label_faults
from benchmarks.studies.plain_table import format_estimate, publish_table
from datasets.class_names import relabel
from datasets.images import ImageSet, scan
from datasets.joint import Source, describe_sources
from datasets.loader import count_workers
from datasets.places import list_overlaps
from datasets.views.recipes import View
from engine.flags.absent import check_present
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser
from engine.results_folder import hold_results
from evaluation.classifier.classify import Predictions, classify
from evaluation.features.subject import check_classes
from evaluation.metrics.bootstrap import DRAWS, Values, estimate, estimate_paired_differences
from evaluation.run_record import read_settings
from models.classifiers.file import load_classifier
from runtime.devices import list_device_problems, resolve_device
from runtime.errors import ConfigError
from runtime.names.safe import safe_name
from runtime.ranges import COUNT, SEED, THREADS, WORKERS
from runtime.words import device


@dataclass(frozen=True)
class Recipe:
    """A row: weights in which `{seed}` stands for each seed, and the branch that answers ("" = the network's own)."""

    label: str
    source: str
    branch: str

    def file(self, seed: int) -> str:
        """Where a seed's weights are."""
        return self.source.format(seed=seed)


def parse_recipe(text: str) -> Recipe:
    """"LABEL=SOURCE[:BRANCH]"."""
    label, equals, rest = text.partition("=")
    source, _, branch = rest.partition(":")
    if not (label.strip() and equals and source.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=SOURCE[:BRANCH]")
    return Recipe(label.strip(), source.strip(), branch.strip())


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m benchmarks.studies.trials",
                    description="Recipes of fine-tuning over several seeds.")
    parser.add_argument("--row", type=parse_recipe, action="append", required=True, metavar="LABEL=SOURCE[:BRANCH]",
                        help="model_last.pth of main_finetune.py, {seed} in it stands for each of --seeds; BRANCH: cls,"
                             " dist, layer1, combiner, highest-2 and so on; once a row")
    parser.add_argument("--against", nargs="+", default=[], metavar="LABEL", help="rows that all are compared with")
    parser.add_argument("--root", required=True, metavar="DIR", help="the data set")
    add_list_left_out(parser)
    parser.add_argument("--split", choices=("test", "val", "train"), default="test", help="which of its images")
    parser.add_argument("-t", "--task", default="custom", help="name of the data set, and of the files written")
    parser.add_argument("--out", default="study", metavar="DIR", help="where the table is written")
    parser.add_argument("--seeds", type=SEED, nargs="+", default=[0, 1, 2], help="what {seed} stands for")
    parser.add_argument("--draws", type=COUNT, default=DRAWS, help="resamples of the bootstrap")
    parser.add_argument("--device", type=device, default="auto", help="cpu, cuda, or auto")
    parser.add_argument("-j", "--num-workers", type=WORKERS, default="auto", help="loader processes")
    parser.add_argument("--threads", type=THREADS, default=0, metavar="N", help="CPU threads, 0 = torch's choice")
    return parser


def name_trial_table(args: argparse.Namespace) -> str:
    """What the table's files are called."""
    return f"{safe_name(args.task, room=16)}_trials"


def list_trial_problems(args: argparse.Namespace) -> list[str]:
    """A line for every label that is not unique or unknown, and for weights that are not there."""
    problems = find_label_faults([row.label for row in args.row], args.against)
    files = dict.fromkeys(row.file(seed) for row in args.row for seed in args.seeds)
    problems += [f"{file}: no such weights; train that seed first" for file in files if not Path(file).is_file()]
    return problems + list_device_problems(args.device) + list_overlaps(args, (f"{name_trial_table(args)}.csv",))


def classify_file(file: str, images: ImageSet, args: argparse.Namespace) -> Predictions:
    """What a classifier says of the images, whose classes meet its own by name."""
    device = torch.device(resolve_device(args.device))
    saved = load_classifier(file, device=device)
    sources = describe_sources([Source(**source) for source in saved.sources])
    known = relabel(images, saved.class_names, sources, text=file)
    view = View("full", saved.view["recipe"], saved.view["size"])
    return classify(saved.network, known, view, device=device, workers=count_workers(args.num_workers),
                 crop_bottom=int(read_settings(Path(file)).get("crop_bottom") or 0))


def find_hits(predictions: Predictions, branch: str) -> Values:
    """1.0 for every image that a branch names rightly, 0.0 else: [N]. Raises ConfigError for an unknown branch."""
    if branch and branch not in predictions.branches:
        raise ConfigError(f"there is no branch {branch!r}; this network has {', '.join(predictions.branches)}")
    guesses = predictions.branches[branch].argmax(dim=1) if branch else predictions.predicted
    return (guesses == predictions.labels).double().numpy()


def collect_hits(args: argparse.Namespace) -> Values:
    """Hits of every row and seed on every image: [R, S, N]; each file is classified once."""
    images = scan(args.root, args.split)
    check_classes(images, 0)
    predictions: dict[str, Predictions] = {}
    hits = []
    for row in args.row:
        print(row.label, file=sys.stderr)
        for seed in args.seeds:
            if row.file(seed) not in predictions:
                predictions[row.file(seed)] = classify_file(row.file(seed), images, args)
        hits.append([find_hits(predictions[row.file(seed)], row.branch) for seed in args.seeds])
    return np.array(hits)


def tabulate_trials(args: argparse.Namespace, hits: Values) -> list[list[str]]:
    """Head, then a line for each row: top-1, each seed's, and the paired differences."""
    labels = [row.label for row in args.row]
    table = [["network", "top-1", "by seed", *(f"more than {name}" for name in args.against)]]
    differences = [estimate_paired_differences(hits, labels.index(name), draws=args.draws) for name in args.against]
    for place, found in enumerate(estimate(hits, draws=args.draws)):
        seeds = ", ".join(f"{100 * value:.1f}" for value in hits[place].mean(axis=1))
        gains = [format_estimate(column[place], difference=True) if labels[place] != name else "–"
                 for name, column in zip(args.against, differences, strict=True)]
        table.append([labels[place], format_estimate(found), seeds, *gains])
    return table


def main() -> None:
    """The command."""
    args, problems = make_parser().gather()
    problems.lines += list_trial_problems(args)
    problems.refuse(lambda: check_present(args))
    if args.threads:
        torch.set_num_threads(args.threads)
    with hold_results(args.out):
        publish_table(tabulate_trials(args, collect_hits(args)), Path(args.out), name_trial_table(args))


if __name__ == "__main__":
    exit_cleanly(main)
