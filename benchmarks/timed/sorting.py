"""The two sides of benchmarks/sorting.py, and what is timed of them."""

from __future__ import annotations

import resource
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.sorting import SortingTimingOptions
from benchmarks.timing import start_benchmark, time_both, time_once
from datasets.images import ImageSet
from datasets.layouts.listing import Sample
from desk.album import Album
from desk.journal import Answer
from desk.standing import Sorter, Standing
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting.choice import choose_to_name
from evaluation.sorting.cloud import Cloud, survey
from evaluation.sorting.spread import spread_labels

PROPOSED = 20


def make_pictures(options: SortingTimingOptions) -> tuple[Tensor, Tensor]:
    """Centred unit features [N, D] around their kinds' centres, and the kind of each [N]."""
    kinds = torch.arange(options.count) % options.kinds
    features = torch.randn(options.kinds, options.width)[kinds] + 2 * torch.randn(options.count, options.width)
    return normalise_embeddings(features - features.mean(dim=0)), kinds


def make_album(count: int) -> Album:
    """Photographs of which there is nothing but their names."""
    samples = tuple(Sample(Path(f"{index}.jpg"), f"{index}.jpg", None) for index in range(count))
    return Album(ImageSet(Path(), "train", samples, ()), tuple(map(str, range(count))))


def time_sorting(options: SortingTimingOptions) -> int:
    """Time one more name both ways; the first standing, and what was known before any name, are printed beside."""
    report = start_benchmark(options, "sorting")
    embeddings, kinds = make_pictures(options)  # which the sorting page holds on the host, whatever the device
    album = make_album(options.count)
    clouds: list[Cloud] = []
    report.add("OURS survey seconds", time_once(lambda: clouds.append(survey(embeddings))))
    sorters: list[Sorter] = []
    report.add("OURS order seconds", time_once(lambda: sorters.append(Sorter(album, clouds[0]))))
    named = torch.randperm(options.count)[: options.names].tolist()
    answers = {str(index): Answer("name", f"kind {int(kinds[index]):03d}", 1, "t") for index in named}
    standings: list[Standing] = [sorters[0].conclude(dict(list(answers.items())[:-1]), options.names - 1, None)]

    def ours() -> None:
        standings.append(sorters[0].conclude(answers, options.names, standings[0]))

    plain: list[Tensor] = []

    def again() -> None:
        cloud = survey(F.normalize(embeddings, dim=1))
        labels = torch.full((options.count,), -1)
        labels[named] = kinds[named]
        plain.append(spread_labels(cloud, labels).labels)
        choose_to_name(cloud.reduced, PROPOSED, named)

    theirs, own = time_both(again, ours, options.rounds, warm=options.quick)
    told = torch.tensor([int(name.removeprefix("kind ")) for name in standings[-1].names])[standings[-1].labels]
    report.add("AGREEMENT", float((told != plain[-1]).double().mean()))
    report.add("OURS seconds", own)
    report.add("MEMORY GB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
    return report.finish(theirs / own)
