"""How well classes are found that were not trained on: a network just trained, one of before, or published ones."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch

from datasets.images import ImageSet
from engine import distributed
from engine.args import ConfigError
from engine.evaluate.bootstrap import interval
from engine.evaluate.clustering import score_clusters
from engine.evaluate.features import extract
from engine.evaluate.geometry import measure_geometry
from engine.evaluate.ledger import Result, append_result
from engine.evaluate.retrieval import Distance, retrieve
from engine.metric_data import eval_view, load_halves
from engine.prepare import count_workers
from models.encoder import Encoder, load_encoder
from models.sizes import check_size
from models.weights import WeightsError, fingerprint


PUBLISHED = "published: best epoch on the test classes"


def evaluate_saved(args: argparse.Namespace, device: torch.device) -> None:
    """Measure the network of --results-dir, or the published ones under --pretrained-root, and add rows there.

    Raises ConfigError for networks that are not there, WeightsError for files without an embedding layer.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    sources = find_networks(args)
    test = load_halves(args).test
    for source in sources:
        encoder = load_encoder(source, arch=args.arch, device=device, head_pool=args.pool, unit_head=args.normalize)
        check_size(encoder.backbone, args.size)
        if encoder.head is None:
            raise WeightsError(f"{source} has no embedding layer; give a network that main_metric.py or OBD-SD's "
                               "public code trained")
        precision = "fp32" if args.precision == "auto" else args.precision
        row = measure_classes(encoder.eval(), test, args, device, precision=precision, weights=str(source),
                              selection=PUBLISHED if args.pretrained_root else f"{source.name} of the run")
        if distributed.is_main():
            append_result(Path(args.results_dir) / "results.jsonl", row.to_dict())
            print(f"{source}: {describe(row)}")


def find_networks(args: argparse.Namespace) -> list[Path]:
    """The files to measure; the published ones come in two kinds, each the best epoch of one metric."""
    if args.pretrained_root is None:
        name = "model_best.pth" if args.select == "best-val" else "model_last.pth"
        files = [Path(args.results_dir) / name]
    elif args.dataset is None:
        raise ConfigError("--pretrained-root needs --dataset: there is a network for each")
    else:
        kind = f"OBDSD_d{args.embed_dim}" if args.OBDP else "PSD"
        files = [Path(args.pretrained_root) / metric / kind / args.dataset / "net.pth" for metric in ("Recall", "NMI")]
    absent = [str(file) for file in files if not file.is_file()]
    if absent:
        raise ConfigError(f"no such network: {', '.join(absent)}; --results-dir names a finished run, "
                          "--pretrained-root the folder that holds Recall/ and NMI/; --OBD-SD and --embed-dim say "
                          "which of them")
    return files


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
                  method=describe_method(args), label=Path(args.results_dir).name,
                  details={"protocol": f"other classes than in training, leave-one-out, {distance}",
                           "classes": len(test.labels.unique()), "partition": args.partition})


def describe_method(args: argparse.Namespace) -> str:
    """The loss and what distils, in a word for tables."""
    return args.loss + ("+PSD" if args.PSD else "") + (f"+OBDP({args.diffusion_norm})" if args.OBDP else "")


def describe(row: Result) -> str:
    """The numbers that tables quote."""
    shown = ", ".join(f"{name} {row.metrics[name]:.2%}" for name in ("recall_at_1", "map_at_r", "nmi"))
    return f"{row.images} images of the test classes: {shown}"
