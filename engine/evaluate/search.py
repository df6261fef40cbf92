"""Image retrieval from encoder to files: features, scores, per-query table, picture of neighbours."""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.images import ImageSet, has_split
from engine.evaluate.knn import knn_accuracy, knn_leave_one_out
from engine.evaluate.ledger import Result, append_result
from engine.evaluate.retrieval import RetrievalScores, bootstrap_interval, nearest, retrieve
from engine.evaluate.sheet import Cell, draw_sheet
from engine.evaluate.subject import Subject, check_classes, homes

LISTED = 5


@dataclass(frozen=True)
class Verdict:
    """What labels say of a retrieval: its scores, the 95 % interval of mAP, kNN accuracy and its protocol."""

    scores: RetrievalScores
    interval: tuple[float, float]
    knn: float
    knn_protocol: str


@dataclass(frozen=True)
class Search:
    """A finished retrieval: `neighbours` [N, k] are the indices of every image's nearest others, best first.

    `verdict` is None for images without labels: there is a picture then, and no number.
    """

    subject: Subject
    images: ImageSet
    labels: Tensor
    neighbours: Tensor
    speed: float
    verdict: Verdict | None


def run_search(subject: Subject, args: argparse.Namespace) -> Search:
    """Search one split within itself, and score it where it has labels; raises DataError when no class has a pair."""
    images = subject.images(choose_split(subject, args.split))
    labelled = bool((images.labels >= 0).any())
    if labelled:
        check_classes(images, args.num_classes)
    centre = subject.centre()
    features = subject.extract(images)
    rows = subject.rows(features, centre)
    neighbours = nearest(rows, max(args.neighbours, LISTED))
    verdict = judge(subject, rows, features.labels, images.split, centre, args) if labelled else None
    return Search(subject, images, features.labels, neighbours, features.images_per_second, verdict)


def judge(
    subject: Subject, rows: Tensor, labels: Tensor, split: str, centre: Tensor | None, args: argparse.Namespace
) -> Verdict:
    """Scores of unit rows [N, D] with labels [N]."""
    scores = retrieve(rows, labels)
    knn, protocol = score_knn(subject, rows, labels, split, centre, args)
    return Verdict(scores, bootstrap_interval(scores.average_precision), knn, protocol)


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
    """per_query.csv, neighbours.png, with labels a row of results.jsonl here and in the run's folder; prints scores."""
    folder.mkdir(parents=True, exist_ok=True)
    write_per_query(folder / "per_query.csv", search)
    draw_neighbours(search, args).save(folder / "neighbours.png")
    for home in homes(folder, search.subject) if search.verdict else ():
        append_result(home / "results.jsonl", make_row(search, search.verdict, args).to_dict())
    print(f"retrieval with {search.subject.describe()}\n{tell(search, args)}\n  written to {folder}")


def make_row(search: Search, verdict: Verdict, args: argparse.Namespace) -> Result:
    """The ledger's row."""
    scores = verdict.scores
    metrics = {"rank1": scores.rank1, "rank5": scores.rank5, "map": scores.map, "map_low": verdict.interval[0],
               "map_high": verdict.interval[1], "knn": verdict.knn}
    details = {"protocol": "leave-one-out, full ranking", "queries": scores.queries, "skipped": scores.skipped,
               "interval": "95 % bootstrap over queries", "knn_protocol": verdict.knn_protocol, "knn_k": args.knn_k,
               "knn_t": args.knn_t}
    return search.subject.result("retrieval", search.images, search.speed, metrics, details=details)


def tell(search: Search, args: argparse.Namespace) -> str:
    """The result for people, in a few lines."""
    if search.verdict is None:
        return f"  {len(search.images)} {search.images.split} images without labels: neighbours, but no scores"
    scores, (low, high) = search.verdict.scores, search.verdict.interval
    return (f"  {scores.queries} {search.images.split} images query all others"
            f" ({scores.skipped} skipped: no other image of their class)\n"
            f"  rank-1 {scores.rank1:.2%}   rank-5 {scores.rank5:.2%}   "
            f"mAP {scores.map:.2%} (95 % interval {low:.2%} to {high:.2%})\n"
            f"  kNN ({search.verdict.knn_protocol}, k {args.knn_k}) {search.verdict.knn:.2%}")


def write_per_query(path: Path, search: Search) -> None:
    """One line an image: key, class, rank of the first hit and AP (blank when not scored), keys of the nearest five."""
    names = (*search.images.classes, "")
    keys = [sample.key for sample in search.images.samples]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "first_hit", "ap", *(f"near{place}" for place in range(1, LISTED + 1))])
        for index, key in enumerate(keys):
            near = [keys[other] for other in search.neighbours[index, :LISTED].tolist()]
            writer.writerow([key, names[int(search.labels[index])], *describe_query(search.verdict, index), *near])


def describe_query(verdict: Verdict | None, index: int) -> tuple[str, str]:
    """Rank of the first hit and AP of one query, blank where it was not scored."""
    hit = int(verdict.scores.first_hit[index]) if verdict else 0
    return (str(hit), f"{float(verdict.scores.average_precision[index]):.6f}") if hit else ("", "")


def draw_neighbours(search: Search, args: argparse.Namespace) -> Image.Image:
    """The worst queries (where labels tell) and a seeded draw of others, each with its neighbours."""
    names, scored = (*search.images.classes, ""), search.verdict is not None

    def cell(index: int, query: int) -> Cell:
        label = int(search.labels[index])
        right = label == int(search.labels[query]) and label >= 0 if scored and index != query else None
        return Cell(index, names[label] if scored else search.images.samples[index].path.stem, right)

    near = search.neighbours[:, : args.neighbours].tolist()
    rows = [[cell(query, query), *(cell(other, query) for other in near[query])]
            for query in choose_queries(search, args.queries, args.seed)]
    title = "query, then its nearest images: "
    if scored:
        title += f"same class (green), other class (red); mAP {search.verdict.scores.map:.1%}"
    else:
        title += "there are no labels"
    return draw_sheet(rows, lambda index: search.subject.picture(search.images.samples[index]), title)


def choose_queries(search: Search, count: int, seed: int) -> list[int]:
    """A random, seeded choice of the queries, and with labels a third of the sheet for those with the lowest AP."""
    asked, worst = torch.arange(len(search.images)), []
    if search.verdict is not None:
        scores = search.verdict.scores
        asked = (scores.first_hit > 0).nonzero().flatten()
        worst = asked[scores.average_precision[asked].argsort(stable=True)][: count // 3].tolist()
    others = [index for index in asked.tolist() if index not in set(worst)]
    drawn = np.random.RandomState(seed).permutation(len(others))[: count - len(worst)]
    return sorted(others[place] for place in drawn) + worst
