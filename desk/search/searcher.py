"""What a search page asks for, and the photographs that answer: all of them seen before the page opens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from datasets.files import decode
from datasets.images import ImageSet, first_split
from desk.album import refuse_outsiders
from desk.boxes import Shares
from desk.search.uploads import Uploads
from engine.flags.evaluate.options import QueryOptions
from engine.workflows.search import find_query_centre, inherit_clip, open_gallery, open_words, speak
from evaluation.features.subject import Subject, open_subject
from evaluation.retrieval.query import Gallery, Query, Ranking, embed_query
from runtime.errors import ConfigError, DataError, WeightsError
from runtime.names.spelling import show_name

MOST = 1000  # neighbours that a page is told of
GOLDEN = (5**0.5 - 1) / 2  # its multiples modulo 1 fill [0, 1) evenly
SMALLEST = 8  # pixels of a side of a part that can be searched by


@dataclass(frozen=True)
class Sought:
    """What is looked for: words, the photograph at a place, or a picture that was sent; nothing = whatever there is.

    `part` is a box in shares of the picture's sides, x1, y1, x2, y2; None means all of it.
    """

    words: str = ""
    like: int | None = None
    upload: str = ""
    part: Shares | None = None


@dataclass(frozen=True)
class SearchAnswer:
    """Places of photographs, the likest first, with their cosines (None: nothing was asked); `title` says of what."""

    title: str
    places: list[int]
    scores: list[float] | None
    seconds: float


@dataclass(frozen=True)
class Vocabulary:
    """What words lead to: the photographs in the space of text, and what reads words; or the `problem` with them."""

    gallery: Gallery | None = None
    read: Callable[[Sequence[str]], list[Query]] | None = None
    problem: str = ""


class Searcher:
    """The photographs, the network that saw them, and the pictures that people send."""

    def __init__(
        self, subject: Subject, images: ImageSet, gallery: Gallery, centre: Tensor | None, words: Vocabulary
    ) -> None:
        self.subject, self.images, self.gallery, self.centre, self.words = subject, images, gallery, centre, words
        self.uploads = Uploads(subject.crop_bottom)

    def answer(self, sought: Sought) -> SearchAnswer:
        """The nearest photographs; raises DataError or ConfigError for what cannot be searched by."""
        start = time.perf_counter()
        if not (sought.words or sought.upload or sought.like is not None):
            return self._spread()
        gallery = self.gallery
        if sought.words:
            query, gallery = self._read(sought.words)
        else:
            query = Query(self._name(sought), self._embed(sought), self.subject.feature)
        ranking = gallery.rank(query, MOST + 1)
        own = sought.like if not sought.words else None
        places, scores = drop_own(ranking, own)
        return SearchAnswer(query.title, places, scores, time.perf_counter() - start)

    def find_near(self, index: int, count: int) -> list[int]:
        """The nearest others of a photograph."""
        query = Query("", self._embed(Sought(like=index)), self.subject.feature)
        return drop_own(self.gallery.rank(query, count + 1), index)[0][:count]

    def open(self, sought: Sought) -> Image.Image:
        """The picture that is searched by, whole, as the network's reader decodes it."""
        if sought.upload:
            return self.uploads.open(sought.upload)
        return decode(self.images.samples[self._check(sought.like)].path, self.subject.crop_bottom)

    def class_of(self, index: int) -> str:
        """The class of a photograph, "" where none is known."""
        label = self.images.samples[index].label
        return "" if label is None else show_name(self.images.classes[label])

    def _spread(self) -> SearchAnswer:
        """Photographs to begin with: however few are looked at, they are from all over the list."""
        order = sorted(range(len(self.images)), key=lambda place: place * GOLDEN % 1)
        return SearchAnswer("", order[:MOST], None, 0.0)

    def _read(self, words: str) -> tuple[Query, Gallery]:
        if self.words.read is None or self.words.gallery is None:
            raise ConfigError(self.words.problem)
        return self.words.read([words])[0], self.words.gallery

    def _embed(self, sought: Sought) -> Tensor:
        """The vector of a picture; that of a whole photograph is known, or it is seen as all others were."""
        if sought.part is not None:
            return embed_query(cut_out(self.open(sought), sought.part), self.subject, self.centre)
        if sought.upload:
            return embed_query(self.open(sought), self.subject, self.centre)
        index = self._check(sought.like)
        if self.gallery.embeddings is not None:
            return self.gallery.embeddings[index]
        return embed_query(self.subject.picture(self.images.samples[index]), self.subject, self.centre)

    def _name(self, sought: Sought) -> str:
        name = (self.uploads.find(sought.upload).name if sought.upload
                else show_name(self.images.samples[self._check(sought.like)].key))
        return f"a part of {name}" if sought.part else name

    def _check(self, index: int | None) -> int:
        if index is None or not 0 <= index < len(self.images):
            raise DataError(f"there is no picture {index}")
        return index


def drop_own(ranking: Ranking, own: int | None) -> tuple[list[int], list[float]]:
    """Places and cosines of a ranking without the photograph that was searched by, MOST at most."""
    order, scores = ranking.order[: MOST + 1], ranking.scores[: MOST + 1]
    if own is not None:
        order, scores = order[order != own], scores[order != own]
    return order[:MOST].tolist(), scores[:MOST].tolist()


def cut_out(picture: Image.Image, part: Shares) -> Image.Image:
    """A part of a picture; raises DataError for one that lies outside or is too small to be seen."""
    x1, y1, x2, y2 = part
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise DataError("a part of a picture lies within it: four shares of its sides, left < right and top < bottom")
    width, height = picture.size
    box = (round(x1 * width), round(y1 * height), round(x2 * width), round(y2 * height))
    if min(box[2] - box[0], box[3] - box[1]) < SMALLEST:
        raise DataError(f"this part is smaller than {SMALLEST} pixels of the picture: draw a larger box")
    return picture.crop(box)


def open_searcher(options: QueryOptions) -> Searcher:
    """All photographs seen by the network, or the index that knows them; raises what stops the search."""
    subject = open_subject(options, torch.device(options.device), options.batch_size)
    options = inherit_clip(options, subject)
    split = options.split if options.split != "auto" else first_split(subject.root, "test", "train")
    images = subject.images(split, "ignored")
    if Path(options.folder).is_dir():  # a list says itself which files it means
        refuse_outsiders(images)
    features = None if options.index else subject.extract(images)
    gallery = open_gallery(options, subject, images, features, subject.feature)
    try:
        read = open_words(options, speak(subject))
        seen = gallery if subject.feature == "head" else open_gallery(options, subject, images, features, "head")
        words = Vocabulary(seen, read)
    except (ConfigError, DataError, WeightsError) as error:
        words = Vocabulary(problem=str(error).removeprefix("--text: "))
    return Searcher(subject, images, gallery, find_query_centre(options, subject), words)
