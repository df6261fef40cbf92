"""One query, words or a picture: a vector in a feature's space, all images ranked by it, a table and a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from datasets.files import decode
from datasets.images import ImageSet
from datasets.layouts.listing import Sample
from datasets.loader import Batch
from datasets.views.recipes import View, make_transform
from evaluation.features.compute import BatchLook, Outputs
from evaluation.features.extract import Features
from evaluation.features.subject import Subject
from evaluation.metrics.inspection import need_finite
from evaluation.metrics.similarity import cross_chunks, normalise_embeddings
from evaluation.reports.sheet import SIDE, Cell, draw_sheet
from runtime.errors import DataError
from runtime.files import open_table
from runtime.names.spelling import show_name

COLUMNS = 6  # pictures in a line of the sheet


@dataclass(frozen=True)
class Query:
    """What is looked for: `vector` [D] in the space of `feature`, and the picture it came from, None for words."""

    title: str
    vector: Tensor
    feature: str
    picture: Sample | None = None


@dataclass(frozen=True)
class Ranking:
    """Images by falling cosine with a query, all or those that an index found: `order` int64 [N], `scores` float32 [N].

    `scores` stand in that order.
    """

    query: Query
    order: Tensor
    scores: Tensor


@dataclass(frozen=True)
class Gallery:
    """The images as one feature sees them: unit `embeddings` [N, D], or a search `index` of these."""

    images: ImageSet
    embeddings: Tensor | None
    index: object = None

    def rank(self, query: Query, most: int | None = None) -> Ranking:
        """The `most` images nearest to a query, best first; None = all, which an index does not know."""
        if self.embeddings is None:
            return rank_by_index(query, self.index, self.images, most or 1)
        if most is None:
            return rank_query(query, self.embeddings, self.images)
        return rank_nearest(query, self.embeddings, self.images, most)


def see_picture(
    picture: Image.Image, subject: Subject, view: View, outputs: Outputs | None = None
) -> dict[str, Tensor]:
    """What the subject's encoder, or another of its `outputs`, says of a picture in memory: float32 [1, ...] by name.

    Raises BrokenNetwork when an output is NaN or infinite.
    """
    ask, unlabelled = outputs or subject.encoder.outputs, torch.tensor([-1])
    look = BatchLook(lambda pixels, _: ask(pixels), subject.device, subject.precision, unlabelled)
    rows = look.at(Batch({"view": make_transform(view)(picture)[None]}, torch.tensor([0]), unlabelled))
    need_finite(rows, ["the picture"])
    return rows


def embed_query(picture: Image.Image, subject: Subject, centre: Tensor | None) -> Tensor:
    """The vector [D] of a picture in memory, whole: what `read_pictures` makes of its file."""
    rows = see_picture(picture, subject, View("full", subject.view.recipe, subject.view.size))
    return subject.embeddings(Features(rows, torch.tensor([-1]), ["the picture"], 0.0), centre)[0]


def read_pictures(subject: Subject, paths: Sequence[str], centre: Tensor | None) -> list[Query]:
    """Queries of picture files, whole, by the subject's feature; raises DataError naming all files that are missing."""
    absent = [path for path in paths if not Path(path).is_file()]
    if absent:
        raise DataError(f"no such picture: {', '.join(absent)}")
    samples = tuple(Sample(Path(path), path, None) for path in paths)
    if not samples:
        return []
    view = View("full", subject.view.recipe, subject.view.size)
    features = subject.extract(ImageSet(Path("."), "query", samples, ()), view=view)
    embeddings = subject.embeddings(features, centre)
    return [Query(f"like {sample.path.name}", vector, subject.feature, sample)
            for sample, vector in zip(samples, embeddings)]


def rank_by_index(query: Query, index: object, images: ImageSet, most: int) -> Ranking:
    """The `most` images that a search index of them finds, best first; the query's own file is left out."""
    from evaluation.retrieval.index import search_index  # faiss is loaded where an index is asked for, and only there

    found = search_index(index, query.vector[None].cpu().numpy(), most + 1)
    order, scores = torch.from_numpy(found.ids[0]), torch.from_numpy(found.scores[0])
    kept = (order >= 0) & ~torch.isin(order, own_places(query, images))
    return Ranking(query, order[kept][:most], scores[kept][:most])


def own_places(query: Query, images: ImageSet) -> Tensor:
    """Which of the images are the query's own file: int64 [n]."""
    if query.picture is None:
        return torch.empty(0, dtype=torch.long)
    own = query.picture.path.resolve()
    same = [index for index, sample in enumerate(images.samples) if sample.path.resolve() == own]
    return torch.tensor(same, dtype=torch.long)


def rank_query(query: Query, embeddings: Tensor, images: ImageSet) -> Ranking:
    """Rank unit embeddings [N, D] by cosine with a query, ties by index; the query's own file is left out."""
    scores = score_query(query, embeddings)
    order = scores.argsort(descending=True, stable=True)
    order = order[~torch.isin(order, own_places(query, images))]
    return Ranking(query, order, scores[order])


def rank_nearest(query: Query, embeddings: Tensor, images: ImageSet, most: int) -> Ranking:
    """The `most` best of `rank_query`, for somebody who waits: only they are compared by whole tiles.

    A plain product, which costs a fraction of that, tells them from the rest; where others are as near as the last of
    them but for rounding, one of those may stand in its place.
    """
    vector = normalise_embeddings(query.vector[None])[0].to(embeddings.device)
    own = own_places(query, images)
    near = (embeddings @ vector).topk(min(most + len(own), len(embeddings))).indices.sort().values
    scores = score_query(query, embeddings[near])
    best = scores.argsort(descending=True, stable=True)
    best = best[~torch.isin(near.cpu()[best], own)][:most]
    return Ranking(query, near.cpu()[best], scores[best])


def score_query(query: Query, embeddings: Tensor) -> Tensor:
    """Cosines of unit embeddings [N, D] with a query, [N] on the CPU."""
    vector = normalise_embeddings(query.vector[None]).to(embeddings.device)
    return next(iter(cross_chunks(vector, embeddings))).scores[0].cpu()


def write_ranking_table(path: Path, rankings: Sequence[Ranking], images: ImageSet) -> None:
    """search.csv: every query's images, best first, with their class where there is one."""
    with open_table(path) as writer:
        writer.writerow(["query", "rank", "path", "score", "class"])
        for ranking in rankings:
            for place, (index, score) in enumerate(zip(ranking.order.tolist(), ranking.scores.tolist()), start=1):
                sample = images.samples[index]
                name = "" if sample.label is None else images.classes[sample.label]
                writer.writerow([ranking.query.title, place, sample.key, f"{score:.5f}", name])


def draw_ranking(ranking: Ranking, images: ImageSet, subject: Subject, most: int) -> Image.Image:
    """A sheet of `most` pictures, the best first; a query's own picture stands before them in its own colour."""
    picture = ranking.query.picture
    cells = [] if picture is None else [Cell(-1, "query", None)]
    most -= len(cells)
    for index, score in zip(ranking.order[:most].tolist(), ranking.scores[:most].tolist()):
        sample = images.samples[index]
        name = sample.path.stem if sample.label is None else images.classes[sample.label]
        cells.append(Cell(index, f"{score:.3f} {show_name(name)}", None, judged=False))

    def open_image(index: int) -> Image.Image:
        if picture is not None and index < 0:
            return decode(picture.path, size_hint=2 * SIDE)
        return subject.picture(images.samples[index], 2 * SIDE)

    return draw_sheet(cells, COLUMNS, open_image, ranking.query.title)
