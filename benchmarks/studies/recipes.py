"""What several recipes of fine-tuning say of the same images, and the table of their differences."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.studies.options import TrialsOptions
from benchmarks.studies.plain_table import format_estimate
from datasets.class_names import relabel
from datasets.images import ImageSet, scan
from datasets.joint import Source, describe_sources
from datasets.loader import count_workers
from datasets.views.recipes import View
from evaluation.classifier.classify import Predictions, classify
from evaluation.features.subject import check_classes
from evaluation.metrics.bootstrap import Values, estimate, estimate_paired_differences
from evaluation.run_record import read_settings
from models.classifiers.file import load_classifier
from runtime.devices import resolve_device
from runtime.errors import ConfigError


def classify_file(file: str, images: ImageSet, options: TrialsOptions) -> Predictions:
    """What a classifier says of the images, whose classes meet its own by name."""
    device = torch.device(resolve_device(options.device))
    saved = load_classifier(file, device=device)
    sources = describe_sources([Source(**source) for source in saved.sources])
    known = relabel(images, saved.class_names, sources, text=file)
    view = View("full", saved.view["recipe"], saved.view["size"])
    return classify(saved.network, known, view, device=device, workers=count_workers(options.num_workers),
                    crop_bottom=int(read_settings(Path(file)).get("crop_bottom") or 0))


def find_hits(predictions: Predictions, branch: str) -> Values:
    """1.0 for every image that a branch names rightly, 0.0 else: [N]. Raises ConfigError for an unknown branch."""
    if branch and branch not in predictions.branches:
        raise ConfigError(f"there is no branch {branch!r}; this network has {', '.join(predictions.branches)}")
    guesses = predictions.branches[branch].argmax(dim=1) if branch else predictions.predicted
    return (guesses == predictions.labels).double().numpy()


def collect_hits(options: TrialsOptions) -> Values:
    """Hits of every row and seed on every image: [R, S, N]; each file is classified once."""
    images = scan(options.root, options.split)
    check_classes(images, 0)
    predictions: dict[str, Predictions] = {}
    hits = []
    for row in options.row:
        print(row.label, file=sys.stderr)
        for seed in options.seeds:
            if row.file(seed) not in predictions:
                predictions[row.file(seed)] = classify_file(row.file(seed), images, options)
        hits.append([find_hits(predictions[row.file(seed)], row.branch) for seed in options.seeds])
    return np.array(hits)


def tabulate_trials(options: TrialsOptions, hits: Values) -> list[list[str]]:
    """Head, then a line for each row: top-1, each seed's, and the paired differences."""
    labels = [row.label for row in options.row]
    table = [["network", "top-1", "by seed", *(f"more than {name}" for name in options.against)]]
    differences = [estimate_paired_differences(hits, labels.index(name), draws=options.draws)
                   for name in options.against]
    for place, found in enumerate(estimate(hits, draws=options.draws)):
        seeds = ", ".join(f"{100 * value:.1f}" for value in hits[place].mean(axis=1))
        gains = [format_estimate(column[place], difference=True) if labels[place] != name else "–"
                 for name, column in zip(options.against, differences, strict=True)]
        table.append([labels[place], format_estimate(found), seeds, *gains])
    return table
