"""Networks side by side: every test image's scores for every network and seed, in one view of whole images."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.images import ImageSet
from evaluation.features.subject import Subject, open_subject
from evaluation.metrics.knn import predict_neighbours
from evaluation.metrics.linear import LinearPlan, predict
from evaluation.metrics.probe import RATES, Split, probe_cached
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.options import FEATURES, SearchOptions
from evaluation.retrieval.score import retrieve
from models.teachers.prototypes import balance, fit_space
from runtime.devices import resolve_device
from runtime.errors import ConfigError, Problems

METRICS = ("rank1", "rank5", "map", "knn", "top1")
NEIGHBOURS, TEMPERATURE = 20, 0.07
HOLD_OUT = 0.2
SHAPE = re.compile(r"(?P<size>\d+)(?::(?P<feature>\w+))?(?P<options>(?:,[^,]+)*)")

ImageScores = NDArray[np.float64]


@dataclass(frozen=True)
class StudyRow:
    """A network and how it is looked at.

    `source` may hold `{seed}` and join the members of an ensemble by "+"; `pca` 0 = all directions as they are.
    Ensembles and PCA are centred by nature.
    """

    label: str
    source: str
    size: int
    feature: str = "backbone"
    centred: bool = False
    pca: int = 0

    def members(self, seed: int) -> tuple[str, ...]:
        """The weight sources of a seed; a file whose name has a "+" in it is one network."""
        source = self.source.replace("{seed}", str(seed))
        return (source,) if Path(source).exists() else tuple(source.split("+"))

    def seeds(self, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the seeds that make a difference: the first alone for a frozen network."""
        return seeds if "{seed}" in self.source else seeds[:1]

    def describe(self) -> str:
        """What was done to the features, for tables."""
        words = [self.feature, *["centred"] * self.centred, *[f"PCA {self.pca}"] * bool(self.pca)]
        return f"{', '.join(words)}, {self.size} px"


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


def parse_study_row(text: str) -> StudyRow:
    """"LABEL=SOURCE@SIZE[:FEATURE][,centred][,pca=D]"."""
    label, _, rest = text.partition("=")
    source, _, shape = rest.rpartition("@")
    found = SHAPE.fullmatch(shape)
    options = found["options"].split(",")[1:] if found else []
    feature = FEATURES.get(found["feature"] or "backbone", "auto") if found else "auto"
    unknown = [option for option in options if not re.fullmatch(r"centred|pca=[1-9]\d*", option)]
    if found is None or not label or not source or feature == "auto" or unknown or int(found["size"]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=SOURCE@SIZE[:backbone|masked|head][,centred][,pca=D]")
    pca = max((int(option[4:]) for option in options if option.startswith("pca=")), default=0)
    centred = "centred" in options or pca > 0 or len(StudyRow(label, source, 1).members(0)) > 1
    return StudyRow(label, source, int(found["size"]), feature, centred, pca)


def find_label_faults(labels: Sequence[str], against: Sequence[str]) -> list[str]:
    """What is wrong with the names of a study's rows: given twice, or compared with and not there."""
    twice = [f"--row {label} is given {labels.count(label)} times" for label in sorted(set(labels))
             if labels.count(label) > 1]
    return twice + [f"--against {label}: no row is called so; there are {', '.join(labels)}" for label in against
                    if label not in labels]


def open_members(row: StudyRow, seed: int, args: argparse.Namespace) -> list[Subject]:
    """The row's networks; raises ConfigError or WeightsError for one that is not there or has no such feature."""
    subjects = []
    for source in row.members(seed):
        told = {"task": args.task, "root": args.root, "pretrained": source, "size": row.size, "input": "full",
                "feature": row.feature, "eval_view": "eval", "label": row.label, "centre": False, "seed": args.seed,
                "device": args.device, "precision": "fp32", "cache": args.cache, "num_workers": args.num_workers,
                "batch_size": args.batch_size, "threads": args.threads}
        options = SearchOptions(**told, given={name: f"--{name.replace('_', '-')}" for name in told})
        subjects.append(open_subject(options, torch.device(resolve_device(args.device)), options.batch_size))
    return subjects


def check_study_rows(rows: list[StudyRow], seeds: tuple[int, ...], pair: SplitPair, args: argparse.Namespace) -> None:
    """Open every network once; raises ConfigError that lists all rows that cannot be measured."""
    problems = Problems()
    for row in rows:
        for seed in row.seeds(seeds):
            before = len(problems.lines)
            members = problems.attempt(partial(open_members, row, seed, args))
            most = min(len(pair.train) - 1, sum(map(measure_width, members or ())))
            if members and row.pca > most:
                problems.lines.append(f"pca={row.pca}: there are {most} directions at most")
            problems.lines[before:] = [f"--row {row.label}: {line}" for line in problems.lines[before:]]
    problems.refuse()


def measure_width(subject: Subject) -> int:
    """The length of the subject's feature."""
    encoder = subject.encoder
    if subject.feature == "head" and encoder.head is not None:
        return encoder.head.widths[-1]
    return encoder.backbone.num_features


def score_row(row: StudyRow, seed: int, pair: SplitPair, args: argparse.Namespace) -> NetworkScores:
    """Extract, shape and score one network; raises DataError or ConfigError."""
    members = open_members(row, seed, args)
    train = [subject.extract(pair.train) for subject in members]
    test = [subject.extract(pair.test) for subject in members]
    rows = shape_rows(row, *([found.tensors[row.feature] for found in side] for side in (train, test)))
    return NetworkScores(
        scores=score_images(*rows, pair, args.seed),
        images_per_second=1 / sum(1 / found.images_per_second for found in train),
        sha256="+".join(subject.sha256 for subject in members),
        arch="+".join(subject.encoder.backbone.arch for subject in members),
    )


def shape_rows(row: StudyRow, train: list[Tensor], test: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Unit rows [N, D] and [M, D] of the members' features: side by side, centred and reduced as the row says.

    Mean, balance and directions are those of the training split. Raises ConfigError when it has too few directions.
    """
    values, parts = torch.cat(train, dim=1), [member.shape[1] for member in train]
    queries = torch.cat(test, dim=1)
    if row.pca:
        try:
            space = fit_space(values, row.pca, parts=parts)
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
