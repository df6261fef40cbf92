"""Photographs found by words or by a picture, and what class rows are worth without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from datasets.class_names import name_key
from datasets.images import ImageSet
from engine.flags.evaluate.options import QueryOptions
from engine.results_folder import append_to
from evaluation.features.contents import hash_contents
from evaluation.features.extract import Features
from evaluation.features.store import describe_embeddings
from evaluation.features.subject import Subject, check_classes, homes
from evaluation.metrics.zero_shot import zero_shot
from evaluation.retrieval.query import Gallery, Query, Ranking, draw_ranking, read_pictures, write_ranking_table
from evaluation.run_record import read_args
from models.weights.usual import CLIP_ARCH
from runtime.errors import ConfigError
from runtime.files import write_atomically
from text.sources import open_clip_teacher, open_text
from text.tensor import TextRows, load_text


def inherit_clip(options: QueryOptions, subject: Subject) -> QueryOptions:
    """The CLIP that the student was trained with, where nobody names another."""
    trained = read_args(subject.folder)
    before = trained.get("teacher_weights") if trained.get("teacher") == "clip" else None
    known = str(before) if before and (before == "hub" or Path(str(before)).is_file()) else None
    arch = options.teacher_arch or str(trained.get("teacher_arch") or CLIP_ARCH)
    return replace(options, teacher_weights=options.teacher_weights or known, teacher_arch=arch)


def speak(subject: Subject) -> Subject:
    """The student by its head, which lives in the space of text; raises ConfigError when it has none that does."""
    trained = read_args(subject.folder)
    if subject.encoder.head is None:
        raise ConfigError(f"--text: {subject.source} has no head, so it knows no words; train one with --text-load")
    if trained and trained.get("teacher") != "clip":
        raise ConfigError(f"--text: {subject.source} was trained without text (teacher {trained.get('teacher')}), its "
                          "head knows no words; train one with --text-load, or search with --image")
    return subject.by_head()


def head_width(subject: Subject) -> int:
    """The number of coordinates of the student's head."""
    assert subject.encoder.head is not None  # `speak` refuses a student without one
    return subject.encoder.head.widths[-1]


def open_words(options: QueryOptions, subject: Subject) -> Callable[[Sequence[str]], list[Query]]:
    """What makes queries of words: CLIP's text tower, loaded now, or the rows of `--text-tensor`."""
    if options.text_tensor:
        rows = load_text(Path(options.text_tensor), width=head_width(subject))
        return lambda texts: look_up(texts, rows)
    command = f'python -m tools.search {options.folder} --pretrained {options.pretrained} --text "..."'
    teacher = open_clip_teacher(options, subject.device, command=command)

    def read(texts: Sequence[str]) -> list[Query]:
        vectors = teacher.encode_text(list(texts))
        check_width(vectors, subject, options.teacher_arch)
        return [Query(text, vector, "head") for text, vector in zip(texts, vectors)]

    return read


def look_up(texts: Sequence[str], rows: TextRows) -> list[Query]:
    """Queries of class names; raises ConfigError naming those that are no row."""
    places = {name_key(name): index for index, name in enumerate(rows.names)}
    unknown = [text for text in texts if name_key(text) not in places]
    if unknown:
        what = "has no manifest that names its rows" if not rows.names else f"has no row named {', '.join(unknown)}"
        raise ConfigError(f"{rows.path} {what}; free words need CLIP: --teacher-weights")
    return [Query(text, rows.rows[places[name_key(text)]], "head") for text in texts]


def check_width(vectors: Tensor, subject: Subject, arch: str) -> None:
    """Raise ConfigError when the text's width is not the head's."""
    if vectors.shape[1] != head_width(subject):
        raise ConfigError(f"{arch}'s texts have {vectors.shape[1]} numbers, the head of {subject.source} "
                          f"{head_width(subject)}: it was trained with another CLIP; name it with --teacher-arch")


def measure_zero_shot(
    options: QueryOptions, subject: Subject, images: ImageSet, features: Features, folder: Path, keep: bool
) -> None:
    """Zero-shot accuracy of the student, printed and added to results.jsonl here and in the run's folder."""
    check_classes(images, options.num_classes)
    assert options.zero_shot is not None  # else there is nothing to measure
    path, command = Path(options.zero_shot), f"python -m tools.search {options.folder} --zero-shot {options.zero_shot}"
    if path.suffix.lower() == ".csv":
        text = open_text(path, open_clip_teacher(options, subject.device, command=command), options)
        check_width(text.rows, subject, options.teacher_arch)
    else:
        text = load_text(path, width=head_width(subject))
    rows = text.order_by(images.classes, str(images.root)).rows
    found = zero_shot(subject.embeddings(features, None), rows, images.labels)
    details = {"text": path.name, "rows": len(text.rows), "chance": 1 / len(text.rows)}
    if path.suffix.lower() == ".csv":
        details |= {"template": options.template, "aggregate": options.aggregate}
    row = subject.result("zero-shot", images, features.images_per_second,
                         {"zeroshot": found.top1, "zeroshot5": found.top5}, details=details)
    print(f"zero-shot with {subject.describe()}\n  {len(images)} {images.split} images, {len(text.rows)} classes: "
          f"top-1 {found.top1:.1%}, top-5 {found.top5:.1%}, chance {1 / len(text.rows):.1%}")
    append_to(homes(folder, subject, keep), row.to_dict())


def open_gallery(
    options: QueryOptions, subject: Subject, images: ImageSet, features: Features | None, feature: str
) -> Gallery:
    """The images as a feature sees them: by their `features`, or by the index of `--index`.

    Raises DataError for an index of other embeddings.
    """
    seeing = replace(subject, feature=feature, centred=subject.centred and feature != "head")
    if options.index:
        from evaluation.retrieval.stored import load_index  # faiss is loaded where an index is asked for alone

        memo = next(iter(subject.caches), None)
        return Gallery(images, None, load_index(Path(options.index), describe_embeddings(seeing, images),
                                                lambda: hash_contents(images, subject.crops, memo)))
    assert features is not None  # only an index does without
    return Gallery(images, seeing.embeddings(features, seeing.centre()))


def rank_all(
    queries: Sequence[Query], subject: Subject, images: ImageSet, features: Features | None, options: QueryOptions
) -> list[Ranking]:
    """The images by every query."""
    rankings = []
    for feature in dict.fromkeys(query.feature for query in queries):
        gallery = open_gallery(options, subject, images, features, feature)
        most = options.top if options.index else None  # the table has all that are known
        rankings += [gallery.rank(query, most) for query in queries if query.feature == feature]
    return rankings


def find_query_centre(options: QueryOptions, subject: Subject) -> Tensor | None:
    """The mean that queries are centred by: that of the index's embeddings, else the training split's."""
    if options.index and subject.centred:
        from evaluation.retrieval.stored import read_index_centre  # faiss is loaded where an index is asked for alone

        stored = read_index_centre(Path(options.index))
        if stored is not None:
            return stored.to(subject.device)
    return subject.centre()


def publish_rankings(rankings: Sequence[Ranking], subject: Subject, images: ImageSet, folder: Path, top: int) -> None:
    """Write a sheet for each ranking and one table."""
    write_ranking_table(folder / "search.csv", rankings, images)
    for number, ranking in enumerate(rankings, start=1):
        write_atomically(folder / f"query_{number:02d}.png", draw_ranking(ranking, images, subject, top).save)
    print(f"written to {folder}: search.csv and a sheet for each query")


def tell_rankings(rankings: Sequence[Ranking], images: ImageSet) -> None:
    """The first answers to every query."""
    for ranking in rankings:
        best = ", ".join(images.samples[index].key for index in ranking.order[:3].tolist())
        print(f"{ranking.query.title!r}, first of {len(images)} images: {best}")


def answer(options: QueryOptions, subject: Subject, images: ImageSet, folder: Path, kept: bool) -> None:
    """All queries, and zero-shot accuracy where it is asked for; files where they can be kept."""
    queries = open_words(options, speak(subject))(options.text) if options.text else []
    queries += read_pictures(subject, options.image, find_query_centre(options, subject) if options.image else None)
    student = speak(subject) if options.zero_shot else None
    features = None if options.index and student is None else subject.extract(images)
    rankings = rank_all(queries, subject, images, features, options)
    tell_rankings(rankings, images)
    if rankings and kept:
        publish_rankings(rankings, subject, images, folder, options.top)
    if student is not None:
        assert features is not None  # only words and pictures can do with an index
        measure_zero_shot(options, student, images, features, folder, kept)
