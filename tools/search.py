"""Search a folder of photographs by words or by a picture, with a student that was trained with text.

python -m tools.search photos --pretrained my_birds --text "red crown, white wing bars"   needs CLIP's text tower
python -m tools.search photos --pretrained my_birds --text "Blue Jay" --text-tensor bird.pt   rows by name: no CLIP
python -m tools.search photos --pretrained my_birds --image query.jpg                     like a picture; any network
python -m tools.search photos --pretrained my_birds --image query.jpg --index photos_embedded/index-hnsw.faiss
python -m tools.search photos --pretrained my_birds --zero-shot text_description/bird.csv   accuracy by the class rows

Images are seen by the student alone. Writes query_01.png, ... and search.csv; --zero-shot adds a row to results.jsonl.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor

from datasets.class_names import name_key
from datasets.images import ImageSet, first_split
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.readers import CROPS, settle_evaluation
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.flags.evaluate.subject import add_subject
from engine.flags.parser import Parser
from engine.flags.ranges import BATCH, COUNT
from engine.flags.text import add_clip, add_encoding
from engine.results_folder import append_to, hold_results, is_chosen
from evaluation.features.extract import Features, hash_contents
from evaluation.features.store import describe_embeddings
from evaluation.features.subject import Subject, check_classes, homes, open_subject
from evaluation.metrics.zero_shot import zero_shot
from evaluation.retrieval.query import (
    Query,
    Ranking,
    draw_ranking,
    rank_by_index,
    rank_query,
    read_pictures,
    write_ranking_table,
)
from evaluation.run_record import read_args
from models.teachers.build import CLIP_ARCH
from runtime.errors import ConfigError
from runtime.files import write_atomically
from text.sources import open_clip_teacher, open_text
from text.tensor import TextRows, load_text


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.search", description="Search photographs by words or by a picture.")
    parser.add_argument("folder", metavar="IMAGES", help="the photographs: any layout that --root takes elsewhere")
    group = parser.add_argument_group("queries")
    group.add_argument("--text", action="append", default=[], metavar="WORDS", help="what to look for; may be repeated")
    group.add_argument("--image", action="append", default=[], metavar="FILE", help="a picture to find the like of")
    group.add_argument("--zero-shot", default=None, metavar="FILE", help="class rows (.csv or .pt) to measure by")
    group.add_argument("--text-tensor", default=None, metavar="FILE.pt",
                       help="look --text up among these rows by class name, instead of asking CLIP")
    group.add_argument("--index", default=None, metavar="FILE.faiss",
                       help="an index that tools.index built of the same images: nothing is computed but the query")
    group.add_argument("--split", choices=("auto", "train", "val", "test"), default="auto",
                       help="which part of the photographs; auto = test where there is one")
    group.add_argument("--top", type=COUNT, default=24, help="pictures on a sheet; the table has all")
    add_subject(parser, look_at="full", feature="gap")
    add_clip(parser, short=False)
    add_encoding(parser)
    parser.set_defaults(teacher_arch=None)
    parser.add_argument("-b", "--batch-size", type=BATCH, default=64, help="images at a time through the student")
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with automatic values resolved; raises ConfigError with every problem."""
    args, problems = make_parser().gather(argv)
    settle_evaluation(args, problems, CROPS)
    args.root = args.folder
    if not (args.text or args.image or args.zero_shot):
        problems.lines.append("nothing to look for: give --text WORDS, --image FILE, or --zero-shot FILE")
    if args.text_tensor and not args.text:
        problems.lines.append("--text-tensor serves --text, which is not given")
    problems.refuse(lambda: check_evaluation_sources(args))
    return args


def inherit_clip(args: argparse.Namespace, subject: Subject) -> argparse.Namespace:
    """The CLIP that the student was trained with, where nobody names another."""
    trained = read_args(subject.folder)
    before = trained.get("teacher_weights") if trained.get("teacher") == "clip" else None
    known = str(before) if before and (before == "hub" or Path(str(before)).is_file()) else None
    arch = args.teacher_arch or str(trained.get("teacher_arch") or CLIP_ARCH)
    return argparse.Namespace(**{**vars(args), "teacher_weights": args.teacher_weights or known, "teacher_arch": arch})


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


def read_words(args: argparse.Namespace, subject: Subject) -> list[Query]:
    """Queries of `--text`, by CLIP's text tower or from the rows of a tensor."""
    if args.text_tensor:
        return look_up(args.text, load_text(Path(args.text_tensor), width=head_width(subject)))
    command = f'python -m tools.search {args.folder} --pretrained {args.pretrained} --text "..."'
    teacher = open_clip_teacher(args, subject.device, command=command)
    vectors = teacher.encode_text(args.text)
    check_width(vectors, subject, args.teacher_arch)
    return [Query(text, vector, "head") for text, vector in zip(args.text, vectors)]


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
    args: argparse.Namespace, subject: Subject, images: ImageSet, features: Features, folder: Path, keep: bool
) -> None:
    """Zero-shot accuracy of the student, printed and added to results.jsonl here and in the run's folder."""
    check_classes(images, args.num_classes)
    path, command = Path(args.zero_shot), f"python -m tools.search {args.folder} --zero-shot {args.zero_shot}"
    if path.suffix.lower() == ".csv":
        text = open_text(path, open_clip_teacher(args, subject.device, command=command), args)
        check_width(text.rows, subject, args.teacher_arch)
    else:
        text = load_text(path, width=head_width(subject))
    rows = text.order_by(images.classes, str(images.root)).rows
    found = zero_shot(subject.embeddings(features, None), rows, images.labels)
    details = {"text": path.name, "rows": len(text.rows), "chance": 1 / len(text.rows)}
    if path.suffix.lower() == ".csv":
        details |= {"template": args.template, "aggregate": args.aggregate}
    row = subject.result("zero-shot", images, features.images_per_second,
                         {"zeroshot": found.top1, "zeroshot5": found.top5}, details=details)
    print(f"zero-shot with {subject.describe()}\n  {len(images)} {images.split} images, {len(text.rows)} classes: "
          f"top-1 {found.top1:.1%}, top-5 {found.top5:.1%}, chance {1 / len(text.rows):.1%}")
    append_to(homes(folder, subject, keep), row.to_dict())


def rank_all(
    queries: Sequence[Query], subject: Subject, images: ImageSet, features: Features | None, args: argparse.Namespace
) -> list[Ranking]:
    """The images by every query: by their features, or by the index of `--index`."""
    rankings = []
    for feature in dict.fromkeys(query.feature for query in queries):
        seeing = replace(subject, feature=feature, centred=subject.centred and feature != "head")
        own = [query for query in queries if query.feature == feature]
        if args.index:
            from evaluation.retrieval.index import (
                load_index,  # faiss is loaded where an index is asked for, and only there
            )

            index = load_index(Path(args.index), describe_embeddings(seeing, images),
                               lambda: hash_contents(images, subject.crops))
            rankings += [rank_by_index(query, index, images, args.top) for query in own]
        else:
            assert features is not None  # only an index does without
            embeddings = seeing.embeddings(features, seeing.centre())
            rankings += [rank_query(query, embeddings, images) for query in own]
    return rankings


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


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    args = parse(argv)
    subject = open_subject(args, torch.device(args.device), args.batch_size)
    args = inherit_clip(args, subject)
    split = args.split if args.split != "auto" else first_split(subject.root, "test", "train")
    images = subject.images(split, "searched" if args.zero_shot else "ignored")
    folder = Path(args.results_dir) if args.results_dir else (subject.folder or Path("checkpoints")) / "search"
    with hold_results(folder, needed=is_chosen(args)) as kept:
        answer(args, subject, images, folder, kept)


def answer(args: argparse.Namespace, subject: Subject, images: ImageSet, folder: Path, kept: bool) -> None:
    """All queries, and zero-shot accuracy where it is asked for; files where they can be kept."""
    queries = read_words(args, speak(subject)) if args.text else []
    queries += read_pictures(subject, args.image, subject.centre() if args.image else None)
    student = speak(subject) if args.zero_shot else None
    features = None if args.index and student is None else subject.extract(images)
    rankings = rank_all(queries, subject, images, features, args)
    tell_rankings(rankings, images)
    if rankings and kept:
        publish_rankings(rankings, subject, images, folder, args.top)
    if student is not None and features is not None:
        measure_zero_shot(args, student, images, features, folder, kept)


if __name__ == "__main__":
    exit_cleanly(main)
