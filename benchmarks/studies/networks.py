"""Networks side by side: every test image's scores for every network and seed, in one view of whole images."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.studies.options import StudyOptions, StudyRow
from datasets.images import ImageSet, scan
from evaluation.features.subject import Subject, check_classes, open_subject
from evaluation.metrics.knn import predict_neighbours
from evaluation.metrics.linear import LinearPlan, predict
from evaluation.metrics.probe import RATES, Split, probe_cached
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.options import SearchOptions
from evaluation.retrieval.score import retrieve
from models.teachers.prototypes import balance, fit_space
from runtime.devices import resolve_device
from runtime.errors import ConfigError, Problems

METRICS = ("rank1", "rank5", "map", "knn", "top1")
NEIGHBOURS, TEMPERATURE = 20, 0.07
HOLD_OUT = 0.2

ImageScores = NDArray[np.float64]


@dataclass(frozen=True)
class SplitPair:
    """The labelled images of both splits."""

    train: ImageSet
    test: ImageSet


@dataclass(frozen=True)
class NetworkScores:
    """One network's scores for one seed: `scores` [5, M] by METRICS, NaN where an image cannot be a query.

    `images_per_second` is that of the extraction of the training split, of all members one after another.
    """

    scores: ImageScores
    images_per_second: float
    sha256: str
    arch: str


def read_pair(root: str) -> SplitPair:
    """Both splits; raises DataError when one is missing or has no labels."""
    pair = SplitPair(scan(root, "train", "learned"), scan(root, "test", "learned"))
    check_classes(pair.train, 0)
    check_classes(pair.test, 0)
    return pair


def open_members(row: StudyRow, seed: int, options: StudyOptions) -> list[Subject]:
    """The row's networks; raises ConfigError or WeightsError for one that is not there or has no such feature."""
    subjects = []
    for source in row.members(seed):
        told: dict[str, Any] = {
            "task": options.task, "root": options.root, "pretrained": source, "size": row.size, "input": "full",
            "feature": row.feature, "eval_view": "eval", "label": row.label, "centre": False, "seed": options.seed,
            "device": options.device, "precision": "fp32", "cache": options.cache, "num_workers": options.num_workers,
            "batch_size": options.batch_size, "threads": options.threads}
        searched = SearchOptions(**told, given={name: f"--{name.replace('_', '-')}" for name in told})
        subjects.append(open_subject(searched, torch.device(resolve_device(searched.device)), searched.batch_size))
    return subjects


def check_study_rows(options: StudyOptions, pair: SplitPair) -> None:
    """Open every network once; raises ConfigError that lists all rows that cannot be measured."""
    problems = Problems()
    for row in options.row:
        for seed in row.seeds(options.seeds):
            before = len(problems.lines)
            members = problems.attempt(partial(open_members, row, seed, options))
            most = min(len(pair.train) - 1, sum(map(measure_width, members or ())))
            if members and row.pca > most:
                problems.lines.append(f"pca={row.pca}: there are {most} directions at most")
            problems.lines[before:] = [f"--row {row.label}: {line}" for line in problems.lines[before:]]
    problems.refuse()


def measure_width(subject: Subject) -> int:
    """The length of the subject's feature."""
    return subject.encoder.width(subject.feature)


def score_row(row: StudyRow, seed: int, pair: SplitPair, options: StudyOptions) -> NetworkScores:
    """Extract, shape and score one network; raises DataError or ConfigError."""
    members = open_members(row, seed, options)
    train = [subject.extract(pair.train) for subject in members]
    test = [subject.extract(pair.test) for subject in members]
    rows = shape_rows(row, *([found.tensors[row.feature] for found in side] for side in (train, test)))
    return NetworkScores(
        scores=score_images(*rows, pair, options.seed),
        images_per_second=1 / sum(1 / found.images_per_second for found in train),
        sha256="+".join(subject.sha256 for subject in members),
        arch="+".join(subject.encoder.backbone.arch for subject in members),
    )


def score_seeds(row: StudyRow, pair: SplitPair, options: StudyOptions, name: str) -> tuple[NetworkScores, ...]:
    """A row's scores for each seed; a frozen network is scored once."""
    found, seeds = [], options.seeds
    for seed in row.seeds(seeds):
        print(f"{name}: {row.label}, {row.describe()}{f', seed {seed}' * ('{seed}' in row.source)}", file=sys.stderr)
        found.append(score_row(row, seed, pair, options))
    return tuple(found) if len(found) == len(seeds) else tuple(found * len(seeds))


def shape_rows(row: StudyRow, train: list[Tensor], test: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Unit rows [N, D] and [M, D] of the members' features: side by side, centred and reduced as the row says.

    Mean, balance and directions are those of the training split. Raises ConfigError when it has too few directions.
    """
    values, parts = torch.cat(train, dim=1), [member.shape[1] for member in train]
    queries = torch.cat(test, dim=1)
    if row.pca or row.whiten:
        try:
            space = fit_space(values, row.pca or None, parts=parts, whiten=row.whiten)
        except ValueError as error:
            raise ConfigError(f"--row {row.label}: {error}") from error
        return space.project(values), space.project(queries)
    mean = values.mean(dim=0) if row.centred else torch.zeros_like(values[0])
    scale = balance(values - mean, parts)
    return normalise_embeddings((values - mean) * scale), normalise_embeddings((queries - mean) * scale)


def score_images(train: Tensor, test: Tensor, pair: SplitPair, seed: int) -> ImageScores:
    """Every test image's five scores [5, M] from unit rows [N, D], [M, D]: hits are 0 or 1, the third is its AP.

    Retrieval is leave-one-out within test, kNN and classifier learn from train. NaN marks images without a label, and
    for retrieval those without another image of their class. Raises DataError when no class has a pair.
    """
    labels, known = pair.test.labels, (pair.test.labels >= 0)
    scores = retrieve(test, labels)
    guessed = predict_neighbours(train, pair.train.labels, test, NEIGHBOURS, TEMPERATURE)
    taught = pair.train.labels >= 0
    learnt, asked = (Split(images, rows[chosen], images.labels[chosen], 0.0)
                     for images, rows, chosen in ((pair.train, train, taught), (pair.test, test, known)))
    outcome = probe_cached(learnt, asked, RATES, LinearPlan(seed=seed), HOLD_OUT)
    classified = torch.full_like(labels, -1)
    classified[known] = predict(outcome.fitted.last, asked.features)
    hits = [keep(scores.first_hit <= place, scores.first_hit > 0) for place in (1, 5)]
    checks = [keep(guess == labels, known) for guess in (guessed, classified)]
    return torch.stack([*hits, scores.average_precision, *checks]).numpy()


def keep(hits: Tensor, scored: Tensor) -> Tensor:
    """Hits [M] as 0.0 and 1.0, NaN where an image is not scored."""
    return hits.double().masked_fill(~scored, torch.nan)
