"""main_metric.py --evaluate: a network that was trained before, or the published ones, on classes that it never saw."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from datasets.images import ImageSet
from engine.flags.metric.finished import find_published, name_published
from engine.workflows.metric.images import load_disjoint_split
from evaluation.ledger import append_result
from evaluation.retrieval.unseen_classes import describe_metric_row, measure_classes
from evaluation.run_record import choose_evaluation_precision, read_meta, read_settings
from models.encoder import load_encoder
from models.sizes import check_size
from runtime import distributed
from runtime.errors import ConfigError, WeightsError

PUBLISHED = "published: best epoch on the test classes"


def evaluate_saved_embedding(args: argparse.Namespace, device: torch.device, *, keep: bool = True) -> None:
    """Measure the network of a finished run, or the published ones under --pretrained-root, and add rows.

    Raises ConfigError for networks that are not there, or whose training classes are not those that the data set gives;
    WeightsError for files without an embedding layer.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    sources = find_published(args) if args.run is None else [Path(args.run)]
    meta = read_meta(sources[0])
    split = load_disjoint_split(args)
    check_same_images(split.train, meta, args)
    for source in sources:
        encoder = load_encoder(source, arch=args.arch, device=device, head_pool=args.pool, unit_head=args.normalize)
        check_size(encoder.backbone, args.size)
        if encoder.head is None:
            raise WeightsError(f"{source} has no embedding layer; give a network that main_metric.py or OBD-SD's "
                               "public code trained")
        row = measure_classes(encoder.eval(), split.test, args, device, weights=str(source),
                              precision=choose_evaluation_precision(args, meta, device),
                              selection=PUBLISHED if name_published(source) else f"{source.name} of the run")
        if distributed.is_main():
            print(f"{source}: {describe_metric_row(row)}")
            if keep:
                append_result(Path(args.results_dir) / "results.jsonl", row.to_dict())


def check_same_images(train: ImageSet, meta: Mapping[str, object], args: argparse.Namespace) -> None:
    """Raise ConfigError when the flags give another split than the training had: test classes would be trained ones."""
    known = meta.get("data_sha256")
    if known is None or known == train.fingerprint():
        return
    before = read_settings(Path(args.run)).get("root", "a folder of other images")
    raise ConfigError(f"--root is {args.root}, but {args.run} was trained with {before}: the training classes are not "
                      "the same, so that classes that it knows might be searched as unseen ones. Give the data set of "
                      "the training as it was then, or search this one with main_retrieval.py --pretrained "
                      f"{args.run} --feature head --root {args.root}")




