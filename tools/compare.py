"""Several networks under one protocol: retrieval, kNN and linear probe of each, raw and centred, into one ledger.

python -m tools.compare --task bird --root bird --out compare --network "initial=package:efficientnet-lite0" \\
    --network "teacher=package:efficientnet-lite2@260" --network "LEAD++=result_bird"
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from datasets.images import has_split, scan
from datasets.places import list_overlaps
from engine.flags.absent import check_present
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, boolean
from engine.results_folder import hold_results
from engine.workflows.linear import run_probe, write_probe
from engine.workflows.retrieval import run_search, write_search
from evaluation.features.subject import FEATURES, open_subject
from evaluation.ledger import append_result, read_results
from evaluation.options import ProbeOptions, SearchOptions
from evaluation.reports.table import markdown, read_ledgers
from runtime.devices import list_device_problems, resolve_device
from runtime.files import write_text
from runtime.folders.claims import claim_folder
from runtime.folders.overlaps import lies_in
from runtime.ranges import SIDE_OR_0, WORKERS
from runtime.words import device

MAKES = ("[0-9]*", "results.jsonl")


@dataclass(frozen=True)
class ComparedNetwork:
    """A row: its name, its weights, its own size in pixels (0 = everyone's) and feature ("" = everyone's)."""

    label: str
    source: str
    size: int
    feature: str = ""


def parse_compared_network(text: str) -> ComparedNetwork:
    """"LABEL=SOURCE", each with "@PIXELS" or ":FEATURE" behind it or both."""
    label, equals, rest = text.partition("=")
    front, _, feature = rest.rpartition(":")
    rest, feature = (front, feature) if feature in FEATURES and front else (rest, "")
    source, _, size = rest.partition("@")
    if not equals or not source or not (size.isdigit() or not size):
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=SOURCE[@PIXELS][:FEATURE]")
    return ComparedNetwork(label, source, int(size or 0), feature)


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.compare", description="Several networks under one protocol.")
    parser.add_argument("--network", type=parse_compared_network, action="append", required=True,
                        metavar="LABEL=SOURCE[@PIXELS][:FEATURE]",
                        help="a folder under checkpoints/ or a weight source; once for each network")
    parser.add_argument("-t", "--task", default="custom", help="name of the data set")
    parser.add_argument("--root", required=True, metavar="DIR", help="the data set, with labels for any number")
    add_list_left_out(parser)
    parser.add_argument("--out", default="compare", metavar="DIR", help="where results and pictures go; it is emptied")
    parser.add_argument("--size", type=SIDE_OR_0, default=0,
                        help="pixels of a side for all; 0 = as each network was trained, else 224")
    parser.add_argument("--input", choices=("full", "crop"), default="full", help="whole images or crops")
    parser.add_argument("--crop-root", default="auto", metavar="DIR", help="crops, for --input crop")
    parser.add_argument("--feature", default="gap", help="gap, masked or head")
    parser.add_argument("--centre", type=boolean, nargs="+", default=[False, True], help="without and with centring")
    parser.add_argument("--device", type=device, default="auto", help="cpu, cuda, or auto")
    parser.add_argument("--cache", default="cache", metavar="DIR", help="where features are kept, or none")
    parser.add_argument("-j", "--num-workers", type=WORKERS, default="auto", help="loader processes")
    return parser


def evaluate(args: argparse.Namespace, network: ComparedNetwork, centred: bool, folder: Path) -> None:
    """One row: retrieval always, the probe where there are labels in both splits."""
    told = {"task": args.task, "root": args.root, "pretrained": network.source, "label": network.label,
            "size": network.size or args.size, "input": args.input, "crop_root": args.crop_root,
            "feature": network.feature or args.feature, "centre": centred, "device": args.device, "cache": args.cache,
            "num_workers": args.num_workers, "results_dir": str(folder)}
    told["given"] = {name: f"--{name.replace('_', '-')}" for name in told}  # a run's own settings yield to them
    searched = SearchOptions(**told, knn=has_split(args.root, "test"))
    device = torch.device(resolve_device(args.device))
    write_search(run_search(open_subject(searched, device, searched.batch_size), searched), folder, searched)
    if has_labelled_images(args.root, "train") and has_labelled_images(args.root, "test"):
        probed = ProbeOptions(**told)
        write_probe(run_probe(open_subject(probed, device, probed.extract_batch_size), probed), folder, probed)


def has_labelled_images(root: str, split: str) -> bool:
    """Whether a split is there and some of its images have a label."""
    return has_split(root, split) and bool((scan(root, split).labels >= 0).any())


def evaluate_all(args: argparse.Namespace, out: Path) -> list[Path]:
    """Every row; the folders of their results."""
    folders = []
    for number, network in enumerate(args.network):
        for centred in args.centre:
            folders.append(out / f"{number}{'_centred' * centred}")
            evaluate(args, network, centred, folders[-1])
    return folders


def merge(folders: list[Path], out: Path) -> Path:
    """All rows in one ledger."""
    ledger = out / "results.jsonl"
    write_text(ledger, "")
    for row in (row for folder in folders for row in read_results(folder / "results.jsonl")):
        append_result(ledger, row)
    return ledger


def main() -> None:
    """The command."""
    args, problems = make_parser().gather()
    out = Path(args.out)
    problems.lines += list_device_problems(args.device) + list_overlaps(args)
    problems.lines += [f"--network {network.label}={network.source} lies in --out {out}, which is emptied"
                       for network in args.network if lies_in(Path(network.source), out)]
    problems.refuse(lambda: check_present(args))
    with hold_results(out):
        claim_folder(out, "tools.compare", MAKES)
        ledger = merge(evaluate_all(args, out), out)
    print(markdown(read_ledgers([str(ledger)])) if ledger.stat().st_size else "no labels, no table; see neighbours.png")


if __name__ == "__main__":
    exit_cleanly(main)
