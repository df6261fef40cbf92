"""Embeddings of unseen classes over several class-disjoint splits: scores, means, differences.

Each partition has other test classes, hence other queries. A resample draws partitions, and within each its seeds and
its queries; all networks meet the same ones, so that what makes a query hard cancels in a difference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.studies.options import PartitionsOptions, StudyNetwork
from benchmarks.studies.plain_table import format_estimate
from datasets.disjoint_split import split_classes
from datasets.images import ImageSet
from datasets.layouts.collections import read_collection
from datasets.loader import count_workers
from datasets.views.recipes import AUGMENTATIONS, View
from evaluation.features.extract import extract
from evaluation.metrics.bootstrap import DRAWS, Estimate, Values, resample_means
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.retrieval.pairing import Pairing
from evaluation.retrieval.rerank import Reranking, rerank
from evaluation.retrieval.score import choose_chunk_size, score_chunks
from evaluation.run_record import Settings, read_settings, show_value
from models.encoder import load_encoder
from runtime.devices import resolve_device

METRICS = ("R@1", "mAP@R", "mAP")
QueryScores = dict[str, NDArray[np.float64]]
Scores = dict[tuple[int, str], list[Values]]  # network and re-ranking -> for each partition [metrics, seeds, queries]


@dataclass(frozen=True)
class Look:
    """What is searched and how: `root` of the data set, and plain means of the machine.

    `augmentation` (whose test view is used) and `size` in pixels serve networks that do not say their own.
    """

    root: str
    dataset: str | None
    augmentation: str
    size: int
    workers: int
    device: str

    def unseen(self, partition: int) -> ImageSet:
        """The images of a partition's test classes."""
        return split_classes(read_collection(self.root, self.dataset), partition).test


def read_run(source: str) -> Settings:
    """The settings of the run that a network is of; {} for weights that are of none."""
    return read_settings(Path(source)) if Path(source).is_file() else {}


def find_run_faults(source: str, partition: int, wanted: Mapping[str, object]) -> list[str]:
    """What contradicts a network's run: another partition, whose test classes it may know, or another of `wanted`."""
    trained = read_run(source)
    asked = {"partition": partition, **{name: value for name, value in wanted.items() if value}}
    return [f"{source} was trained with --{name} {show_value(trained[name])}, not {show_value(value)}: "
            + ("classes that it knows would be searched as unseen" if name == "partition" else "leave the flag out")
            for name, value in asked.items() if name in trained and trained[name] != value]


def embed_unseen(source: str, images: ImageSet, look: Look) -> Tensor:
    """Unit rows [N, D] of a network's head, or of its backbone where it has no head, in its own run's view."""
    encoder, trained = load_encoder(source, device=look.device), read_run(source)
    recipe = AUGMENTATIONS[str(trained.get("augmentation") or look.augmentation)].test
    view = View("full", recipe, int(trained.get("size") or look.size))
    tensors = extract(encoder.outputs, images, view, device=torch.device(look.device), workers=look.workers,
                      crop_bottom=int(trained.get("crop_bottom") or 0)).tensors
    return normalise_embeddings(tensors.get("head", tensors["backbone"]))


def score_queries(rows: Tensor, labels: Tensor, plan: Reranking) -> QueryScores:
    """What every query got, leave-one-out, by the names of METRICS: [N] each."""
    pairing = Pairing(rows, labels)
    scores = score_chunks(rerank(pairing, plan, choose_chunk_size(len(rows))), labels, labels, among_selves=True)
    found = {"R@1": (scores.first_hit == 1).double(), "mAP@R": scores.per_query["map_at_r"],
             "mAP": scores.average_precision}
    return {name: values.double().numpy() for name, values in found.items()}


def score_partition(
    networks: Sequence[StudyNetwork], partition: int, seeds: Sequence[int], plans: Sequence[Reranking], look: Look
) -> Iterator[tuple[tuple[int, str], list[QueryScores]]]:
    """For every network (by number) and re-ranking (by name) its scores of each seed."""
    images = look.unseen(partition)
    for number, network in enumerate(networks):
        files = [network.file(partition, seed) for seed in seeds]
        rows = {file: embed_unseen(file, images, look) for file in dict.fromkeys(files)}
        for plan in plans:
            scores = {file: score_queries(found, images.labels, plan) for file, found in rows.items()}
            yield (number, plan.how), [scores[file] for file in files]


def estimate_means(
    parts: Sequence[Values], *, draws: int = DRAWS, seed: int = 0, share: float = 0.95
) -> list[Estimate]:
    """The mean over partitions, seeds and queries of every row, with its interval.

    `parts` has one array [R, S, M] for each partition, M queries of its own. Raises ValueError for no partition.
    """
    if not parts:
        raise ValueError("no partition, no mean")
    within = np.stack([resample_means(values, draws, seed + place) for place, values in enumerate(parts)], axis=1)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(parts), np.full(len(parts), 1 / len(parts)), size=draws) / len(parts)
    resampled = np.einsum("dpr,dp->dr", within, weights)
    low, high = np.quantile(resampled, [(1 - share) / 2, (1 + share) / 2], axis=0)
    means = np.mean([values.mean(axis=(1, 2)) for values in parts], axis=0)
    return [Estimate(*(float(number) for number in numbers)) for numbers in zip(means, low, high)]


def estimate_differences(
    parts: Sequence[Values], reference: int, *, draws: int = DRAWS, seed: int = 0
) -> list[Estimate]:
    """The paired difference of every row from row `reference`; arguments as in `estimate_means`."""
    return estimate_means([values - values[reference] for values in parts], draws=draws, seed=seed)


def make_look(options: PartitionsOptions) -> Look:
    """How networks are looked at; those that are of no run, as the runs beside them where those agree."""
    runs = [read_run(file) for row in options.row for file in row.runs(options.partitions, options.seeds)]
    sizes = {int(run["size"]) for run in runs if run.get("size")}
    views = {str(run["augmentation"]) for run in runs if run.get("augmentation")}
    return Look(options.root, options.dataset, options.augmentation or (views.pop() if len(views) == 1 else "base"),
                options.size or (sizes.pop() if len(sizes) == 1 else 224), count_workers(options.num_workers),
                resolve_device(options.device))


def score_partitions(options: PartitionsOptions) -> Scores:
    """Every network's scores under every re-ranking, partition by partition."""
    look = make_look(options)
    plans = [Reranking(how=how) for how in ("none", *options.rerank)]
    scores: Scores = {}
    for partition in options.partitions:
        print(f"partition {partition}", file=sys.stderr)
        for place, seeds in score_partition(options.row, partition, options.seeds, plans, look):
            scores.setdefault(place, []).append(np.stack([[v[name] for v in seeds] for name in METRICS]))
    return scores


def tabulate_partitions(options: PartitionsOptions, scores: Scores) -> list[list[str]]:
    """Head and rows: means of each network, differences from the reference, then what each re-ranking adds."""
    reference = [row.label for row in options.row].index(options.against)
    table = [["network", "search", *METRICS, *(f"{name}, more than {options.against}" for name in METRICS)]]
    for number, row in enumerate(options.row):
        means, gains = compare_networks(options, scores, (number, "none"), (reference, "none"))
        same = number == reference
        table.append([row.label, "cosine", *means, *(["–"] * len(METRICS) if same else gains)])
    for how in options.rerank:
        for number, row in enumerate(options.row):
            means, gains = compare_networks(options, scores, (number, how), (number, "none"))
            table.append([row.label, f"{how}, differences from its own cosine", *means, *gains])
    return table


def compare_networks(
    options: PartitionsOptions, scores: Scores, place: tuple[int, str], other: tuple[int, str]
) -> tuple[list[str], list[str]]:
    """Means of one network and search, and paired differences from another, one cell a metric."""
    pairs = zip(scores[place], scores[other], strict=True)
    stacked = [np.stack([other_part, part]) for part, other_part in pairs]
    means, gains = [], []
    for metric in range(len(METRICS)):
        parts = [values[:, metric] for values in stacked]
        means.append(format_estimate(estimate_means(parts, draws=options.draws)[1]))
        gains.append(format_estimate(estimate_differences(parts, 0, draws=options.draws)[1], difference=True))
    return means, gains
