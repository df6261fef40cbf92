"""How well classes are found that were not trained on: a network just trained, one of before, or published ones."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from datasets.images import ImageSet
from engine import distributed
from engine.evaluate.bootstrap import interval
from engine.evaluate.clustering import score_clusters
from engine.evaluate.features import extract
from engine.evaluate.geometry import measure_geometry
from engine.evaluate.ledger import Result, append_result
from engine.evaluate.retrieval import Distance, retrieve
from engine.metric_data import eval_view, load_halves
from engine.metric_saved import find_published, name_published
from engine.prepare import count_workers
from engine.run_record import choose_precision, name_method, read_meta, read_settings
from models.encoder import Encoder, load_encoder
from models.sizes import check_size
from models.weights import WeightsError, fingerprint
from runtime.errors import ConfigError

PUBLISHED = "published: best epoch on the test classes"


def evaluate_saved(args: argparse.Namespace, device: torch.device, *, keep: bool = True) -> None:
    """Measure the network of a finished run, or the published ones under --pretrained-root, and add rows.

    Raises ConfigError for networks that are not there, or whose training classes are not those that the data set gives;
    WeightsError for files without an embedding layer.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    sources = find_published(args) if args.run is None else [Path(args.run)]
    meta = read_meta(sources[0])
    halves = load_halves(args)
    check_same_images(halves.train, meta, args)
    for source in sources:
        encoder = load_encoder(source, arch=args.arch, device=device, head_pool=args.pool, unit_head=args.normalize)
        check_size(encoder.backbone, args.size)
        if encoder.head is None:
            raise WeightsError(f"{source} has no embedding layer; give a network that main_metric.py or OBD-SD's "
                               "public code trained")
        row = measure_classes(encoder.eval(), halves.test, args, device, precision=choose_precision(args, meta, device),
                              weights=str(source),
                              selection=PUBLISHED if name_published(source) else f"{source.name} of the run")
        if distributed.is_main():
            print(f"{source}: {describe(row)}")
            if keep:
                append_result(Path(args.results_dir) / "results.jsonl", row.to_dict())


def check_same_images(train: ImageSet, meta: Mapping[str, object], args: argparse.Namespace) -> None:
    """Raise ConfigError when the halves that the flags give are not those of the training: test would be mixed up."""
    known = meta.get("data_sha256")
    if known is None or known == train.fingerprint():
        return
    before = read_settings(Path(args.run)).get("root", "a folder of other images")
    raise ConfigError(f"--root is {args.root}, but {args.run} was trained with {before}: the training classes are not "
                      "the same, so that classes that it knows might be searched as unseen ones. Give the data set of "
                      "the training as it was then, or search this one with main_retrieval.py --pretrained "
                      f"{args.run} --feature head --root {args.root}")


def measure_classes(
    encoder: Encoder, test: ImageSet, args: argparse.Namespace, device: torch.device, *, precision: str, weights: str,
    selection: str,
) -> Result:
    """Every retrieval, cluster and distance number of the embeddings of a test half, each image asking all others.

    `selection` says for the ledger what chose the network's epoch.
    """
    view = eval_view(args)
    found = extract(encoder.outputs, test, view, device=device, precision=precision, batch_size=args.batch_size,
                    workers=count_workers(args.num_workers), crop_bottom=args.crop_bottom)
    rows = found.tensors["head"]
    distance: Distance = "cosine" if encoder.unit_head else "euclid"
    scores = retrieve(rows, found.labels, distance=distance)
    of_set = score_clusters(rows, found.labels, seed=args.seed).metrics() | measure_geometry(rows, found.labels)
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


def describe(row: Result) -> str:
    """The numbers that tables quote."""
    shown = ", ".join(f"{name} {row.metrics[name]:.2%}" for name in ("recall_at_1", "map_at_r", "nmi"))
    return f"{row.images} images of the test classes: {shown}"
