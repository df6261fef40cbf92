"""How well classes are found that were not trained on."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch

from datasets.images import ImageSet
from datasets.loader import count_workers
from datasets.views.recipes import AUGMENTATIONS, View
from evaluation.features.extract import extract
from evaluation.ledger import Result
from evaluation.metrics.bootstrap import interval
from evaluation.metrics.clustering import score_clusters
from evaluation.metrics.geometry import measure_geometry
from evaluation.retrieval.score import Distance, retrieve
from evaluation.run_record import name_method
from models.encoder import Encoder
from models.weights.read import fingerprint


def eval_view(args: argparse.Namespace) -> View:
    """The augmentation's test view."""
    return View("full", AUGMENTATIONS[args.augmentation].test, args.size)


def measure_classes(
    encoder: Encoder, test: ImageSet, args: argparse.Namespace, device: torch.device, *, precision: str, weights: str,
    selection: str,
) -> Result:
    """Every retrieval, cluster and distance number of the embeddings of unseen classes, each image querying all others.

    `selection` says for the ledger what chose the network's epoch.
    """
    view = eval_view(args)
    found = extract(encoder.outputs, test, view, device=device, precision=precision, batch_size=args.batch_size,
                    workers=count_workers(args.num_workers), crop_bottom=args.crop_bottom)
    embeddings = found.tensors["head"]
    distance: Distance = "cosine" if encoder.unit_head else "euclid"
    scores = retrieve(embeddings, found.labels, distance=distance)
    clusters = score_clusters(embeddings, found.labels, seed=args.seed)
    of_set = clusters.metrics() | measure_geometry(embeddings, found.labels)
    low, high = interval(scores.average_precision.numpy())
    named = replace(scores, of_set=of_set).metrics() | {
        "rank1": scores.rank1, "rank5": scores.rank5, "map_low": low, "map_high": high}
    return Result("metric", args.task, test.fingerprint(), test.split, len(test), weights=weights,
                  weights_sha256=fingerprint(encoder), arch=encoder.backbone.arch, feature="head", input="full",
                  view=view.recipe, size=view.size, centred=False, seed=args.seed, precision=precision,
                  images_per_second=found.images_per_second,
                  metrics={name: value for name, value in named.items() if math.isfinite(value)},
                  epoch="" if args.pretrained_root else args.select, selection=selection,
                  method=name_method(vars(args)),
                  label=Path(args.run).parent.name if args.run else Path(args.results_dir).name,
                  details={"protocol": f"other classes than in training, leave-one-out, {distance}",
                           "classes": len(test.labels.unique()), "partition": args.partition})


def describe_metric_row(row: Result) -> str:
    """The numbers that tables quote."""
    shown = ", ".join(f"{name} {row.metrics[name]:.2%}" for name in ("recall_at_1", "map_at_r", "nmi"))
    return f"{row.images} images of the test classes: {shown}"
