"""Photographs sorted into groups and labels: features, groups, what follows from names, and what is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor
from tqdm import tqdm

from datasets.images import ImageSet
from engine.flags.evaluate.options import SortOptions
from evaluation.features.subject import Subject
from evaluation.ledger import append_result
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.reports.sheet import SIDE
from evaluation.sorting import page as sorting_page
from evaluation.sorting.choice import NamingOrder
from evaluation.sorting.cloud import Cloud, rate_oddness, survey
from evaluation.sorting.groups import estimate_groups, group, match_accuracy, rate_typicality
from evaluation.sorting.page import Sorting
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
from runtime.errors import ConfigError, DataError

BUDGETS, DRAWS = (20, 50, 100), 5  # names given, and how often they are drawn, where a sorting is scored


def check_image_count(images: ImageSet, groups: int | str) -> None:
    """Raise ConfigError when there are too few images to be grouped."""
    least = max(3, groups if isinstance(groups, int) else 0)
    if len(images) < least:
        what = f"{groups} groups" if least > 3 else "sorting"
        raise ConfigError(f"{images.root} has {len(images)} photographs, and {what} needs at least {least}")


@dataclass(frozen=True)
class Sight:
    """What the encoder saw: the pictures as points around their own mean, how odd each is [N], images per second."""

    cloud: Cloud
    oddness: Tensor
    speed: float


def extract_features(subject: Subject, images: ImageSet, bar: tqdm | None = None) -> Sight:
    """Extract features, counted by `bar`; raises DataError when all pictures look the same."""
    features = subject.extract(images, bar=bar)
    values = features.tensors[subject.feature].cpu()
    centre = values.mean(dim=0)
    if float((values - centre).norm(dim=1).max()) <= 1e-5 * float(centre.norm()):
        raise DataError(f"{images.root}: all {len(images)} photographs look the same to {subject.source}; "
                        "give different pictures, or another network with --pretrained")
    embeddings = normalise_embeddings(values - centre if subject.centred else values)
    return Sight(survey(embeddings), rate_oddness(values), features.images_per_second)


def sort_images(sight: Sight, images: ImageSet, given: dict[int, str], options: SortOptions) -> Sorting:
    """Groups, odd pictures, which to name next, and labels where some are given."""
    cloud = sight.cloud
    estimate = None
    if (count := options.groups) == "auto":
        estimate = estimate_groups(cloud.reduced, cloud.smooth, show=True)
        count = estimate.count
    groups = group(cloud.smooth, count)
    names = tuple(sorted(set(given.values())))
    labels = torch.full((len(images),), -1)
    for index, name in given.items():
        labels[index] = names.index(name)
    spread = spread_labels(cloud, labels) if given else None
    name_first = NamingOrder(cloud).next(options.name_first, sorted(given), (), spread)
    return Sorting(images, groups, rate_typicality(cloud.embeddings, groups), sight.oddness, given, name_first, names,
                   spread, estimate)


def measure_groups(sorting: Sorting, cloud: Cloud) -> dict[str, float]:
    """Groups against the hidden labels; accuracy on the rest after naming some, as proposed and at random; trust."""
    known = sorting.images.labels >= 0
    labels, groups = sorting.images.labels[known], sorting.groups[known]
    if not known.all():
        cloud = survey(cloud.embeddings[known])
    metrics = {"clustering": match_accuracy(groups, labels),
               "nmi": float(normalized_mutual_info_score(labels.numpy(), groups.numpy()))}
    budgets = [budget for budget in BUDGETS if budget < len(labels)]
    proposed = rehearse_naming(cloud, labels, max(budgets, default=0))
    for budget in budgets:
        drawn = [naming_accuracy(cloud.smooth, labels, draw_random_images(len(labels), budget, seed))
                 for seed in range(DRAWS)]
        metrics |= {f"named{budget}": naming_accuracy(cloud.smooth, labels, proposed[:budget]),
                    f"random{budget}": float(np.mean(drawn))}
    return metrics | measure_trust(cloud, labels, budgets)


def measure_trust(cloud: Cloud, labels: Tensor, budgets: Sequence[int]) -> dict[str, float]:
    """With a random quarter of the kinds withheld, five times: what a confidence of 0.9 or more is worth.

    For each number of names: how many pictures have it (`sure`), how many of those are right (left out where none has
    it), the mean confidence on withheld kinds, and the calibration error. {} where fewer than two kinds would be left.
    """
    if len(labels.unique()) < 3:
        return {}
    found: dict[int, list[Trust]] = {}
    for seed in range(DRAWS):
        nameable = draw_nameable(labels, seed)
        named = rehearse_naming(cloud, labels, max(budgets, default=0), nameable)
        for budget in (budget for budget in budgets if budget <= len(named)):
            spread = spread_labels(cloud, show_labels(labels, named[:budget]))
            found.setdefault(budget, []).append(rate_trust(spread, labels, named[:budget], nameable))
    return {f"{name}{budget}": value for budget, trusts in found.items() for name, value in pool_trust(trusts).items()}


def draw_random_images(count: int, budget: int, seed: int) -> list[int]:
    """A random choice of images."""
    return np.random.default_rng(seed).permutation(count)[:budget].tolist()


def record_sorting(subject: Subject, sorting: Sorting, sight: Sight, out: Path) -> None:
    """Measure, print, and add a row to OUT/results.jsonl."""
    metrics = measure_groups(sorting, sight.cloud)
    details = {"groups": sorting.count(), "classes": len(sorting.images.classes), "draws": DRAWS,
               "groups_chosen_by": "silhouette" if sorting.estimate else "given", "centre": "of these images"}
    row = subject.result("sort", sorting.images, sight.speed, metrics, details=details)
    append_result(out / "results.jsonl", row.to_dict())
    print("  " + "   ".join(f"{name} {value:.1%}" for name, value in metrics.items()))


def write_sorting(sorting: Sorting, subject: Subject, out: Path) -> None:
    """Tables, sheets and page."""
    def show_image(index: int) -> Image.Image:
        return subject.picture(sorting.images.samples[index], 2 * SIDE)

    out.mkdir(parents=True, exist_ok=True)
    sorting_page.write_sorting_table(out / "sort.csv", sorting)
    sorting_page.write_form(out / "name_these.csv", sorting)
    sorting_page.write_sheets(out / "groups", sorting, show_image)
    sorting_page.write_sorting_page(out / "sort.html", sorting, show_image, subject.describe())


def tell_sorting(sorting: Sorting, out: Path) -> str:
    """The result for people, in a few lines."""
    sizes = torch.bincount(sorting.groups).tolist()
    lines = [f"{len(sorting.images)} photographs in {len(sizes)} groups of {', '.join(map(str, sizes))}; "
             f"{len(sorting.odd())} odd ones"]
    if sorting.estimate:
        scores = ", ".join(f"{count}: {score:.3f}" for count, score in sorting.estimate.silhouettes.items())
        lines.append(f"numbers of groups compared by silhouette: {scores}")
        if len(sorting.estimate.scales) > 1:
            scales = ", ".join(map(str, sorting.estimate.scales))
            lines.append(f"from coarse to fine, {scales} groups stand out; --groups N chooses one")
    if sorting.spread:
        unlike = int((sorting.spread.unlike > 0.5).sum())
        lines.append(f"labels for all, mean confidence {float(sorting.spread.confidence.mean()):.2f}; "
                     f"{unlike} photographs are probably like nothing named")
    return "\n  ".join([*lines, f"look at {out / 'sort.html'}"])
