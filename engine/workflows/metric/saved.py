"""main_metric.py --evaluate: a network that was trained before, or the published ones, on classes that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from datasets.images import ImageSet
from datasets.loader import count_workers
from engine.flags.metric.finished import find_published, name_published
from engine.flags.metric.options import MetricOptions
from engine.workflows.metric.images import eval_view, load_disjoint_split
from engine.workflows.report.page import refresh_pages
from evaluation.ledger import Result, append_result
from evaluation.retrieval.unseen_classes import describe_metric_row, measure_classes
from evaluation.run_record import choose_evaluation_precision, name_method, read_meta, read_settings
from models.encoder import Encoder, load_encoder
from models.sizes import check_size
from runtime import distributed
from runtime.devices import use_threads
from runtime.errors import ConfigError, WeightsError

PUBLISHED = "published: best epoch on the test classes"


def evaluate_saved_embedding(options: MetricOptions, device: torch.device, *, keep: bool = True) -> None:
    """Measure the network of a finished run, or the published ones under --pretrained-root, and add rows.

    Raises ConfigError for networks that are not there, or whose training classes are not those that the data set gives;
    WeightsError for files without an embedding layer.
    """
    use_threads(options.threads)
    sources = find_published(options) if options.run is None else [Path(options.run)]
    meta = read_meta(sources[0])
    split = load_disjoint_split(options)
    check_same_images(split.train, meta, options)
    for source in sources:
        encoder = load_encoder(source, arch=options.arch, device=device, head_pool=options.pool,
                               unit_head=options.normalize)
        check_size(encoder.backbone, options.size)
        if encoder.head is None:
            raise WeightsError(f"{source} has no embedding layer; give a network that main_metric.py or OBD-SD's "
                               "public code trained")
        row = measure_run(encoder.eval(), split.test, options, device, weights=str(source),
                          precision=choose_evaluation_precision(options, meta, device),
                          selection=PUBLISHED if name_published(source) else f"{source.name} of the run")
        if distributed.is_main():
            print(f"{source}: {describe_metric_row(row)}")
            if keep:
                append_result(Path(options.results_dir) / "results.jsonl", row.to_dict())
                refresh_pages([Path(options.results_dir)])


def check_same_images(train: ImageSet, meta: Mapping[str, object], options: MetricOptions) -> None:
    """Raise ConfigError when the flags give another split than the training had: test classes would be trained ones."""
    known = meta.get("data_sha256")
    if known is None or known == train.fingerprint():
        return
    assert options.run is not None  # the published networks tell nothing of their images
    before = read_settings(Path(options.run)).get("root", "a folder of other images")
    raise ConfigError(f"--root is {options.root}, but {options.run} was trained with {before}: the training classes "
                      "are not the same, so that classes that it knows might be searched as unseen ones. Give the data "
                      "set of the training as it was then, or search this one with main_retrieval.py --pretrained "
                      f"{options.run} --feature head --root {options.root}")


def measure_run(
    encoder: Encoder, test: ImageSet, options: MetricOptions, device: torch.device, *, precision: str, weights: str,
    selection: str,
) -> Result:
    """A network's numbers among the test classes, as a row that says which run it is of.

    `selection` says what chose the network's epoch.
    """
    row = measure_classes(encoder, test, eval_view(options), task=options.task, weights=weights, device=device,
                          precision=precision, batch_size=options.batch_size, seed=options.seed,
                          workers=count_workers(options.num_workers), crop_bottom=options.crop_bottom)
    return replace(row, epoch="" if options.pretrained_root else options.select, selection=selection,
                   method=name_method(options.settings()),
                   label=Path(options.run).parent.name if options.run else Path(options.results_dir).name,
                   details=row.details | {"partition": options.partition})
