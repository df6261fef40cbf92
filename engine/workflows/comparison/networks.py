"""Several networks under one protocol: a retrieval of each, and a linear probe where there are labels to learn from."""

from __future__ import annotations

from pathlib import Path

import torch

from datasets.images import has_split, scan
from engine.flags.compare import ComparedNetwork, CompareOptions
from engine.results_folder import hold_results
from engine.workflows.linear import run_probe, write_probe
from engine.workflows.retrieval import run_search, write_search
from evaluation.features.subject import open_subject
from evaluation.ledger import append_result, read_results
from evaluation.options import ProbeOptions, SearchOptions
from runtime.devices import resolve_device
from runtime.files import write_text
from runtime.folders.claims import claim_folder

MAKES = ("[0-9]*", "results.jsonl")


def run_comparison(options: CompareOptions) -> Path:
    """Measure every network into a folder of its own below `options.out`; the ledger of all rows."""
    out = Path(options.out)
    with hold_results(out):
        claim_folder(out, "tools.compare", MAKES)
        return merge_ledgers(evaluate_networks(options, out), out)


def evaluate_networks(options: CompareOptions, out: Path) -> list[Path]:
    """Every row; the folders of their results."""
    folders = []
    for number, network in enumerate(options.network):
        for centred in options.centre:
            folders.append(out / f"{number}{'_centred' * centred}")
            evaluate_network(options, network, centred, folders[-1])
    return folders


def evaluate_network(options: CompareOptions, network: ComparedNetwork, centred: bool, folder: Path) -> None:
    """One row: retrieval always, the probe where there are labels in both splits."""
    assert options.root is not None  # `list_compare_problems` sees to it
    told: dict[str, object] = {
        "task": options.task, "root": options.root, "pretrained": network.source, "label": network.label,
        "size": network.size or options.size, "input": options.input, "crop_root": options.crop_root,
        "feature": network.feature or options.feature, "centre": centred, "device": options.device,
        "cache": options.cache, "num_workers": options.num_workers, "results_dir": str(folder)}
    given = {name: f"--{name.replace('_', '-')}" for name in told}  # a run's own settings yield to them
    searched = SearchOptions.read({**told, "knn": has_split(options.root, "test")}, given)
    device = torch.device(resolve_device(options.device))
    write_search(run_search(open_subject(searched, device, searched.batch_size), searched), folder, searched)
    if has_labelled_images(options.root, "train") and has_labelled_images(options.root, "test"):
        probed = ProbeOptions.read(told, given)
        write_probe(run_probe(open_subject(probed, device, probed.extract_batch_size), probed), folder, probed)


def has_labelled_images(root: str, split: str) -> bool:
    """Whether a split is there and some of its images have a label."""
    return has_split(root, split) and bool((scan(root, split).labels >= 0).any())


def merge_ledgers(folders: list[Path], out: Path) -> Path:
    """All rows in one ledger."""
    ledger = out / "results.jsonl"
    write_text(ledger, "")
    for row in (row for folder in folders for row in read_results(folder / "results.jsonl")):
        append_result(ledger, row)
    return ledger
