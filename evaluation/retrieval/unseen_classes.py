"""How well classes are found that were not trained on."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from datasets.images import ImageSet
from datasets.views.recipes import View
from evaluation.features.extract import extract
from evaluation.ledger import Result
from evaluation.metrics.bootstrap import interval
from evaluation.metrics.clustering import score_clusters
from evaluation.metrics.geometry import measure_geometry
from evaluation.retrieval.score import Distance, retrieve
from models.encoder import Encoder
from models.weights.read import fingerprint


def measure_classes(
    encoder: Encoder, test: ImageSet, view: View, *, task: str, weights: str, device: torch.device, precision: str,
    batch_size: int, workers: int, crop_bottom: int, seed: int,
) -> Result:
    """Every retrieval, cluster and distance number of the embeddings of unseen classes, each image querying all others.

    `weights` is the network's name in the ledger; epoch, selection, method and label are left to who knows them.
    """
    found = extract(encoder.outputs, test, view, device=device, precision=precision, batch_size=batch_size,
                    workers=workers, crop_bottom=crop_bottom)
    embeddings = found.tensors["head"]
    distance: Distance = "cosine" if encoder.unit_head else "euclid"
    scores = retrieve(embeddings, found.labels, distance=distance)
    of_set = score_clusters(embeddings, found.labels, seed=seed).metrics() | measure_geometry(embeddings, found.labels)
    low, high = interval(scores.average_precision.numpy())
    named = replace(scores, of_set=of_set).metrics() | {
        "rank1": scores.rank1, "rank5": scores.rank5, "map_low": low, "map_high": high}
    return Result("metric", task, test.fingerprint(), test.split, len(test), weights=weights,
                  weights_sha256=fingerprint(encoder), arch=encoder.backbone.arch, feature="head", input="full",
                  view=view.recipe, size=view.size, centred=False, seed=seed, precision=precision,
                  images_per_second=found.images_per_second,
                  metrics={name: value for name, value in named.items() if math.isfinite(value)},
                  details={"protocol": f"other classes than in training, leave-one-out, {distance}",
                           "classes": len(test.labels.unique())})


def describe_metric_row(row: Result) -> str:
    """The numbers that tables quote."""
    shown = ", ".join(f"{name} {row.metrics[name]:.2%}" for name in ("recall_at_1", "map_at_r", "nmi"))
    return f"{row.images} images of the test classes: {shown}"
