"""Queries worth looking at, and their neighbours: as a sheet, and for the page with those of the start weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps

from datasets.layouts.listing import Sample
from evaluation.options import SearchOptions
from evaluation.reports.html import embed_picture
from evaluation.reports.run.neighbours import Asked, Neighbourhood, Thumb
from evaluation.reports.sheet import Cell, draw_sheet
from evaluation.retrieval.found import Search, SearchScores
from runtime.names.spelling import show_name

SIDE = 120  # pixels of a thumbnail in the page
WHY = {"typical": "their average precision is nearest to the median of all queries", "random": "drawn at random",
       "worst": "no queries have a lower average precision"}


@dataclass(frozen=True)
class ShownQuery:
    """A query that is shown, and why: typical, random or worst."""

    index: int
    mark: str


def choose_queries(search: Search, count: int, seed: int) -> list[ShownQuery]:
    """A third of `count` with the median average precision, a third with the lowest, the others a seeded draw.

    Without labels all are drawn.
    """
    candidates, typical, worst = torch.arange(len(search.images)), [], []
    if search.measured is not None:
        scores = search.measured.scores
        candidates = (scores.first_hit > 0).nonzero().flatten()
        precision = scores.average_precision[candidates]
        worst = candidates[precision.argsort(stable=True)][: count // 3].tolist()
        around = candidates[(precision - precision.median()).abs().argsort(stable=True)].tolist()
        typical = [index for index in around if index not in set(worst)][: count // 3]
    others = [index for index in candidates.tolist() if index not in {*typical, *worst}]
    drawn = np.random.RandomState(seed).permutation(len(others))[: count - len(worst) - len(typical)]
    marked = (("typical", typical), ("random", sorted(others[place] for place in drawn)), ("worst", worst))
    return [ShownQuery(index, mark) for mark, chosen in marked for index in chosen]


def draw_neighbours(search: Search, options: SearchOptions) -> Image.Image:
    """The chosen queries, each with its neighbours, as one picture."""
    names, scored = (*search.images.classes, ""), search.measured is not None

    def query_cell(choice: ShownQuery) -> Cell:
        sample = search.images.samples[choice.index]
        name = names[int(search.labels[choice.index])] if scored else sample.path.stem
        return Cell(choice.index, f"{choice.mark}: {show_name(name)}", None)

    def found_cell(index: int, query: int) -> Cell:
        name = names[int(search.gallery_labels[index])] if scored else search.gallery.samples[index].path.stem
        return Cell(len(search.images) + index, show_name(name), is_right(search, query, index))

    def open_image(index: int) -> Image.Image:
        return search.subject.picture((search.images.samples + search.gallery.samples)[index])

    near = search.neighbours[:, : options.neighbours]
    cells = []
    for choice in choose_queries(search, options.queries, options.seed):
        cells += [query_cell(choice), *(found_cell(other, choice.index) for other in near[choice.index].tolist())]
    title = "query, then its nearest images: "
    if search.measured is not None:
        title += f"same class (green), other class (red); mAP {search.measured.scores.map:.1%}"
    else:
        title += "there are no labels"
    return draw_sheet(cells, 1 + near.shape[1], open_image, title)


def is_right(search: Search, query: int, found: int) -> bool | None:
    """Whether an image of the gallery is of the query's class; None where there are no labels."""
    label = int(search.gallery_labels[found])
    return label == int(search.labels[query]) and label >= 0 if search.measured is not None else None


def gather_neighbourhood(search: Search, before: Search | None, options: SearchOptions) -> Neighbourhood:
    """The same queries for the page, with what `before`, the start weights, finds for them where it was asked."""
    looks = [*([("before training", before)] if before is not None else []),
             ("after training" if search.subject.folder is not None else "nearest", search)]
    samples: dict[str, Sample] = {}

    def thumb(one: Search, sample: Sample, label: int, right: bool | None) -> Thumb:
        samples[sample.key] = sample
        return Thumb(sample.key, (*one.images.classes, "")[label], right)

    def found(one: Search, query: int) -> list[Thumb]:
        return [thumb(one, one.gallery.samples[other], int(one.gallery_labels[other]), is_right(one, query, other))
                for other in one.neighbours[query, : options.neighbours].tolist()]

    queries = [Asked(choice.mark, WHY[choice.mark],
                     thumb(search, search.images.samples[choice.index], int(search.labels[choice.index]), None),
                     [found(one, choice.index) for _, one in looks])
               for choice in choose_queries(search, options.queries, options.seed)]
    return Neighbourhood([(title, describe_look(one)) for title, one in looks], queries,
                         {key: shrink(search.subject.picture(sample, 2 * SIDE)) for key, sample in samples.items()})


def describe_look(search: Search) -> str:
    """Which network looked, and how well it found what it should."""
    measured: SearchScores | None = search.measured
    score = f", mAP {measured.scores.map:.1%}" if measured is not None else ""
    return f"{search.subject.describe()}{score}"


def shrink(picture: Image.Image) -> str:
    """A picture as a square thumbnail."""
    return embed_picture(ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE)))
