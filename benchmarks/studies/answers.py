"""Someone who knows the kinds names pictures: accuracy by how they were chosen, and trust with kinds withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor
from tqdm import tqdm

from benchmarks.studies.options import Looker, NamingOptions
from benchmarks.studies.plain_table import format_estimate
from datasets.images import ImageSet, scan
from evaluation.features.subject import Subject, check_classes, open_subject
from evaluation.ledger import append_result
from evaluation.metrics.bootstrap import Estimate, Values, estimate
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.options import SearchOptions
from evaluation.sorting.cloud import Cloud, survey
from evaluation.sorting.rehearsal import (
    Trust,
    draw_nameable,
    naming_accuracy,
    pool_trust,
    rate_trust,
    rehearse_naming,
    show_labels,
)
from evaluation.sorting.spread import spread_labels
from runtime.devices import resolve_device
from runtime.errors import ConfigError, Problems

CHOICES = ("proposed", "k-means", "random")
TRUST = {"sure": "confidence 0.9 or more", "sure_right": "right among them", "withheld_confidence":
         "confidence on withheld kinds", "ece": "calibration error"}


@dataclass(frozen=True)
class Naming:
    """One network's results: `accuracy` [choices, budgets, seeds] of the unnamed pictures, `trust` by budget."""

    looker: Looker
    accuracy: NDArray[np.float64]
    trust: dict[int, list[Trust]]
    images_per_second: float


def read_kinds(options: NamingOptions) -> ImageSet:
    """The labelled pictures; raises DataError without labels, ConfigError for more names than pictures."""
    images = scan(options.root, options.split, "learned")
    check_classes(images, 0)
    left = round(options.kept * len(images))
    if max(options.budgets) >= left:
        raise ConfigError(f"--budgets {max(options.budgets)}: a seed keeps {left} of {len(images)} pictures, and some "
                          "must be left unnamed")
    if len(images.classes) < 3:
        raise ConfigError(f"{images.root} has {len(images.classes)} kinds; with one withheld, it takes 3 to tell apart")
    return images


def open_looker(looker: Looker, options: NamingOptions) -> Subject:
    """A network as tools.sort looks through it."""
    told: dict[str, Any] = {
        "task": options.task, "root": options.root, "pretrained": looker.source, "size": options.size, "input": "full",
        "feature": looker.feature, "centre": True, "device": options.device, "cache": options.cache,
        "num_workers": options.num_workers, "batch_size": options.batch_size, "threads": options.threads}
    given = {name: f"--{name.replace('_', '-')}" for name in told if name != "size" or options.size}
    searched = SearchOptions(**told, given=given)
    return open_subject(searched, torch.device(resolve_device(options.device)), options.batch_size)


def check_lookers(options: NamingOptions) -> list[Subject]:
    """All networks; raises ConfigError that lists those that cannot look."""
    problems = Problems()
    subjects = [problems.attempt(partial(open_looker, looker, options)) for looker in options.lookers]
    problems.refuse()
    return [subject for subject in subjects if subject is not None]


def measure_naming(subject: Subject, images: ImageSet, options: NamingOptions) -> Naming:
    """A network's features once, then every seed's names."""
    features = subject.extract(images)
    values = features.tensors[subject.feature].cpu()
    accuracy: list[Values] = []
    trust: dict[int, list[Trust]] = {budget: [] for budget in options.budgets}
    for seed in tqdm(options.seeds, desc=f"names, {subject.source}", unit="seed"):
        kept = keep_some(len(values), options.kept, seed)
        cloud, labels = survey(normalise_embeddings(values[kept] - values[kept].mean(dim=0))), images.labels[kept]
        accuracy.append(compare_choices(cloud, labels, options.budgets, seed))
        for budget, one in rehearse_trust(cloud, labels, options, seed).items():
            trust[budget].append(one)
    looker = Looker(subject.source, subject.feature)
    return Naming(looker, np.stack(accuracy, axis=-1), trust, features.images_per_second)


def keep_some(count: int, share: float, seed: int) -> Tensor:
    """A random share of the pictures, in their order."""
    drawn = np.random.default_rng(seed).permutation(count)[: round(share * count)]
    return torch.from_numpy(np.sort(drawn))


def compare_choices(cloud: Cloud, labels: Tensor, budgets: Sequence[int], seed: int) -> Values:
    """Accuracy on the unnamed pictures by choice and budget: [choices, budgets]."""
    proposed = rehearse_naming(cloud, labels, max(budgets))
    drawn = np.random.default_rng(seed).permutation(len(labels)).tolist()
    found = []
    for budget in budgets:
        named = (proposed[:budget], choose_centres(cloud, budget, seed), drawn[:budget])
        found.append([naming_accuracy(cloud.smooth, labels, one) for one in named])
    return np.array(found).T


def choose_centres(cloud: Cloud, count: int, seed: int) -> list[int]:
    """The picture nearest to each k-means centre, the largest cluster's first; equal ones once."""
    points = cloud.reduced.double().numpy()
    model = KMeans(count, n_init=4, random_state=seed).fit(points)
    nearest = model.transform(points).argmin(axis=0)
    order = np.argsort(-np.bincount(model.labels_, minlength=count), kind="stable")
    return list(dict.fromkeys(nearest[order].tolist()))


def rehearse_trust(cloud: Cloud, labels: Tensor, options: NamingOptions, seed: int) -> dict[int, Trust]:
    """What confidence is worth with some kinds withheld, by budget; without those that the nameable do not reach."""
    nameable = draw_nameable(labels, seed, options.withheld)
    named = rehearse_naming(cloud, labels, max(options.budgets), nameable)
    found = {}
    for budget in (budget for budget in options.budgets if budget <= len(named)):
        spread = spread_labels(cloud, show_labels(labels, named[:budget]))
        found[budget] = rate_trust(spread, labels, named[:budget], nameable)
    return found


def estimate_seeds(values: Values, options: NamingOptions) -> list[Estimate]:
    """Means over seeds of [rows, seeds], each with the interval that resampling the seeds gives."""
    return estimate(values[:, None, :], draws=options.draws)


def tabulate_names(options: NamingOptions, found: Sequence[Naming]) -> list[list[str]]:
    """Head and a row for each network and choice: accuracy, and how much the proposed pictures gain over the others."""
    table = [["network", "named", *(f"{budget} names" for budget in options.budgets),
              *(f"{budget} names, proposed gain" for budget in options.budgets)]]
    for one in found:
        columns = [estimate_seeds(one.accuracy[:, place], options) for place in range(len(options.budgets))]
        gains = [estimate_seeds(one.accuracy[:1, place] - one.accuracy[:, place], options)
                 for place in range(len(options.budgets))]
        for row, choice in enumerate(CHOICES):
            cells = [format_estimate(gain[row], difference=True) if row else "–" for gain in gains]
            means = [format_estimate(column[row]) for column in columns]
            table.append([name_looker(one.looker), choice, *means, *cells])
    return table


def tabulate_trust(options: NamingOptions, found: Sequence[Naming]) -> list[list[str]]:
    """Head and a row for each network and budget, over all seeds together; "–" where nothing was to be counted."""
    table = [["network", "names", *TRUST.values()]]
    for one in found:
        for budget, trusts in one.trust.items():
            pooled = pool_trust(trusts) if trusts else {}
            cells = [f"{100 * pooled[name]:.1f}" if name in pooled else "–" for name in TRUST]
            table.append([name_looker(one.looker), str(budget), *cells])
    return table


def name_looker(looker: Looker) -> str:
    """A network and what of it looks."""
    return f"{looker.source}, {looker.feature}"


def record_naming(subject: Subject, images: ImageSet, one: Naming, options: NamingOptions) -> None:
    """A row of kind `naming` in results.jsonl."""
    metrics: dict[str, float] = {}
    for place, budget in enumerate(options.budgets):
        for choice, found in zip(CHOICES, estimate_seeds(one.accuracy[:, place], options), strict=True):
            name = f"{choice.replace('-', '')}{budget}"
            metrics |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
        if one.trust[budget]:
            metrics |= {f"{name}{budget}": value for name, value in pool_trust(one.trust[budget]).items()}
    details = {"seeds": list(options.seeds), "kept": options.kept, "withheld": options.withheld,
               "classes": len(images.classes), "centre": "of the pictures kept"}
    row = subject.result("naming", images, one.images_per_second, metrics, details=details)
    append_result(Path(options.out) / "results.jsonl", row.to_dict())
