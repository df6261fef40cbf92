"""Image retrieval from encoder to files: features, scores, per-query table, picture of neighbours."""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from datasets.images import ImageSet, decode, has_split
from engine.evaluate.knn import knn_accuracy, knn_leave_one_out
from engine.evaluate.ledger import Result, append_result
from engine.evaluate.retrieval import RetrievalScores, bootstrap_interval, nearest, retrieve
from engine.evaluate.sheet import Cell, draw_sheet
from engine.evaluate.subject import Subject, check_classes

LISTED = 5


@dataclass(frozen=True)
class Search:
    """A finished retrieval: `neighbours` [N, k] are the indices of every image's nearest others, best first."""

    subject: Subject
    images: ImageSet
    labels: Tensor
    scores: RetrievalScores
    neighbours: Tensor
    interval: tuple[float, float]
    knn: float
    knn_protocol: str
    speed: float


def run_search(subject: Subject, args: argparse.Namespace) -> Search:
    """Score one split against itself; raises DataError when it has no labels or no class with two images."""
    images = subject.images(choose_split(subject, args.split))
    check_classes(images, args.num_classes)
    centre = subject.centre()
    features = subject.extract(images)
    rows = subject.rows(features, centre)
    scores = retrieve(rows, features.labels)
    neighbours = nearest(rows, max(args.neighbours, LISTED))
    knn, protocol = score_knn(subject, rows, features.labels, images.split, centre, args)
    return Search(subject, images, features.labels, scores, neighbours, bootstrap_interval(scores.average_precision),
                  knn, protocol, features.images_per_second)


def choose_split(subject: Subject, wanted: str) -> str:
    """The split to search in; "auto" is test, or train (said aloud) where there is no test."""
    if wanted != "auto":
        return wanted
    if has_split(subject.root, "test"):
        return "test"
    print(f"note: {subject.root} has no test split; every training image queries all other training images")
    return "train"


def score_knn(
    subject: Subject, rows: Tensor, labels: Tensor, split: str, centre: Tensor | None, args: argparse.Namespace
) -> tuple[float, str]:
    """Weighted kNN accuracy and its protocol: train -> split with `--knn`, else leave-one-out in the split."""
    if args.knn and split != "train":
        train = subject.extract(subject.images("train"))
        gallery = subject.rows(train, centre)
        return knn_accuracy(gallery, train.labels, rows, labels, args.knn_k, args.knn_t), f"train to {split}"
    return knn_leave_one_out(rows, labels, args.knn_k, args.knn_t), f"leave-one-out in {split}"


def write_search(search: Search, folder: Path, args: argparse.Namespace) -> None:
    """per_query.csv, neighbours.png, a row of results.jsonl here and in the run's folder; prints the scores."""
    folder.mkdir(parents=True, exist_ok=True)
    write_per_query(folder / "per_query.csv", search)
    draw_neighbours(search, args).save(folder / "neighbours.png")
    row = make_row(search, args).to_dict()
    homes = {folder.resolve(), *([search.subject.folder.resolve()] if search.subject.folder else [])}
    for home in sorted(homes):
        append_result(home / "results.jsonl", row)
    print(tell(search, args, folder))


def make_row(search: Search, args: argparse.Namespace) -> Result:
    """The ledger's row."""
    scores = search.scores
    metrics = {"rank1": scores.rank1, "rank5": scores.rank5, "map": scores.map, "map_low": search.interval[0],
               "map_high": search.interval[1], "knn": search.knn}
    details = {"protocol": "leave-one-out, full ranking", "queries": scores.queries, "skipped": scores.skipped,
               "interval": "95 % bootstrap over queries", "knn_protocol": search.knn_protocol, "knn_k": args.knn_k,
               "knn_t": args.knn_t}
    return search.subject.result("retrieval", search.images, search.speed, metrics, details=details)


def tell(search: Search, args: argparse.Namespace, folder: Path) -> str:
    """The result for people, in a few lines."""
    scores, (low, high) = search.scores, search.interval
    return (f"retrieval with {search.subject.describe()}\n"
            f"  {scores.queries} {search.images.split} images query all others"
            f" ({scores.skipped} skipped: no other image of their class)\n"
            f"  rank-1 {scores.rank1:.2%}   rank-5 {scores.rank5:.2%}   "
            f"mAP {scores.map:.2%} (95 % interval {low:.2%} to {high:.2%})\n"
            f"  kNN ({search.knn_protocol}, k {args.knn_k}) {search.knn:.2%}\n  written to {folder}")


def write_per_query(path: Path, search: Search) -> None:
    """One line an image: key, class, rank of the first hit and AP (blank when skipped), keys of the nearest five."""
    names = (*search.images.classes, "")
    keys = [sample.key for sample in search.images.samples]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "first_hit", "ap", *(f"near{place}" for place in range(1, LISTED + 1))])
        for index, key in enumerate(keys):
            hit = int(search.scores.first_hit[index])
            precision = f"{float(search.scores.average_precision[index]):.6f}" if hit else ""
            near = [keys[other] for other in search.neighbours[index, :LISTED].tolist()]
            writer.writerow([key, names[int(search.labels[index])], hit or "", precision, *near])


def draw_neighbours(search: Search, args: argparse.Namespace) -> Image.Image:
    """The worst queries and a seeded draw of others, each with its neighbours."""
    names = (*search.images.classes, "")

    def cell(index: int, query: int) -> Cell:
        label = int(search.labels[index])
        right = None if index == query else label == int(search.labels[query]) and label >= 0
        return Cell(index, names[label], right)

    near = search.neighbours[:, : args.neighbours].tolist()
    rows = [[cell(query, query), *(cell(other, query) for other in near[query])]
            for query in choose_queries(search.scores, args.queries, args.seed)]
    title = f"query (blue), then its nearest images: same class (green), other class (red); mAP {search.scores.map:.1%}"
    return draw_sheet(rows, lambda index: open_picture(search, index), title)


def choose_queries(scores: RetrievalScores, count: int, seed: int) -> list[int]:
    """A random, seeded choice of the queries, and a third of the sheet for those with the lowest AP."""
    asked = (scores.first_hit > 0).nonzero().flatten()
    worst = asked[scores.average_precision[asked].argsort(stable=True)][: count // 3].tolist()
    others = [index for index in asked.tolist() if index not in set(worst)]
    drawn = np.random.RandomState(seed).permutation(len(others))[: count - len(worst)]
    return sorted(others[place] for place in drawn) + worst


def open_picture(search: Search, index: int) -> Image.Image:
    """What the encoder looked at, before resizing: the whole image or its crop."""
    sample, subject = search.images.samples[index], search.subject
    if subject.view.source == "full":
        return decode(sample.path, subject.crop_bottom)
    by_file = subject.crops.boxes is None
    return subject.crops.crop(sample, None if by_file else decode(sample.path, subject.crop_bottom))
