"""Image retrieval from encoder to files: features, scores, per-query table, picture of neighbours."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.images import ImageSet, first_split
from engine.results_folder import append_to
from evaluation.features.subject import Subject, check_classes, homes
from evaluation.ledger import Result
from evaluation.metrics.bootstrap import interval
from evaluation.metrics.clustering import score_clusters
from evaluation.metrics.geometry import measure_geometry
from evaluation.metrics.knn import knn_accuracy, knn_leave_one_out
from evaluation.metrics.similarity import Chunk
from evaluation.options import SearchOptions
from evaluation.reports.sheet import Cell, draw_sheet
from evaluation.retrieval.pairing import Pairing
from evaluation.retrieval.protocol import Contest, open_contest
from evaluation.retrieval.rerank import read_rerank, rerank
from evaluation.retrieval.score import RetrievalScores, choose_chunk_size, score_chunks, take_nearest
from runtime.files import open_table, write_atomically
from runtime.names.spelling import show_name

LISTED = 5


@dataclass(frozen=True)
class SearchScores:
    """What labels say of a retrieval: its scores, the 95 % interval of mAP, kNN accuracy and its protocol."""

    scores: RetrievalScores
    interval: tuple[float, float]
    knn: float
    knn_protocol: str


@dataclass(frozen=True)
class Search:
    """A finished retrieval: `neighbours` [N, k] are the gallery's indices nearest to every image, best first.

    `gallery` is `images` itself in leave-one-out. `protocol` and `reranked` ("" for not) say how it was done.
    `measured` is None for images without labels: there is a picture then, and no number.
    """

    subject: Subject
    images: ImageSet
    gallery: ImageSet
    labels: Tensor
    gallery_labels: Tensor
    neighbours: Tensor
    speed: float
    measured: SearchScores | None
    protocol: str = ""
    reranked: str = ""


def run_search(subject: Subject, options: SearchOptions) -> Search:
    """Search as the protocol says, and score where there are labels; raises DataError when no class has a pair."""
    images = subject.images(choose_split(subject, options.split))
    labelled = bool((images.labels >= 0).any())
    if labelled:
        check_classes(images, options.num_classes)
    centre = subject.centre()
    contest = open_contest(subject, images, centre, options.protocol, options.gallery)
    pairing, plan = contest.pairing, read_rerank(options)
    near: list[Tensor] = []
    ranking = rerank(pairing, plan, choose_chunk_size(len(contest.gallery)))
    chunks = note_nearest(ranking, options.neighbours, pairing, near)
    measured = score_search(subject, contest, chunks, centre, options) if labelled else None
    deque(chunks, maxlen=0)  # without labels nothing else has consumed them
    return Search(subject, images, contest.gallery, pairing.labels[pairing.query], pairing.labels[pairing.gallery],
                  torch.cat(near), contest.features.images_per_second, measured, contest.describe(options.protocol),
                  plan.describe(len(pairing.embeddings)))


def note_nearest(chunks: Iterable[Chunk], wanted: int, pairing: Pairing, near: list[Tensor]) -> Iterator[Chunk]:
    """The chunks as they come; what is nearest to their queries (LISTED at least) is added to `near`, [b, k] each."""
    for chunk in chunks:
        near.append(take_nearest([chunk], min(max(wanted, LISTED), pairing.most), among_selves=pairing.among_selves))
        yield chunk
        del chunk  # else two chunks of scores are held while the next one is made


def score_search(
    subject: Subject, contest: Contest, chunks: Iterable[Chunk], centre: Tensor | None, options: SearchOptions
) -> SearchScores:
    """Scores of a contest by its chunks; clusters, distances and spectrum are those of the query images."""
    pairing = contest.pairing
    embeddings, labels = pairing.embeddings[pairing.query], pairing.labels[pairing.query]
    scores = score_chunks(chunks, labels, pairing.labels[pairing.gallery], among_selves=pairing.among_selves)
    of_set = describe_set(embeddings, labels, options) if options.rerank == "none" else {}
    knn, protocol = score_knn(subject, embeddings, labels, contest.images.split, centre, options)
    return SearchScores(replace(scores, of_set=of_set), interval(scores.average_precision.numpy()), knn, protocol)


def describe_set(embeddings: Tensor, labels: Tensor, options: SearchOptions) -> dict[str, float]:
    """Numbers of all embeddings [N, D] together."""
    clusters = score_clusters(embeddings, labels, seed=options.seed).metrics() if options.clusters else {}
    return clusters | measure_geometry(embeddings, labels)


def choose_split(subject: Subject, wanted: str) -> str:
    """The split to search in; "auto" is test, or (said aloud) train or val where there is no test."""
    if wanted != "auto":
        return wanted
    split = first_split(subject.root, "test", "train")
    if split != "test":
        image = "training image" if split == "train" else f"{split} image"
        print(f"note: {subject.root} has no test split; every {image} queries all other {image}s")
    return split


def score_knn(
    subject: Subject, embeddings: Tensor, labels: Tensor, split: str, centre: Tensor | None, options: SearchOptions
) -> tuple[float, str]:
    """Weighted kNN accuracy and its protocol: train -> split with `--knn`, else leave-one-out in the split."""
    if options.knn and split != "train":
        train = subject.extract(subject.images("train"))
        gallery = subject.embeddings(train, centre)
        accuracy = knn_accuracy(gallery, train.labels, embeddings, labels, options.knn_k, options.knn_t)
        return accuracy, f"train to {split}"
    return knn_leave_one_out(embeddings, labels, options.knn_k, options.knn_t), f"leave-one-out in {split}"


def write_search(search: Search, folder: Path, options: SearchOptions, *, keep: bool = True) -> None:
    """Print scores; per_query.csv, neighbours.png, with labels a row of results.jsonl here and in the run's folder.

    Without `keep` the folder cannot be written to, and scores are all there is.
    """
    print(f"retrieval with {search.subject.describe()}\n{tell_search(search, options)}")
    if search.measured:
        append_to(homes(folder, search.subject, keep), make_retrieval_row(search, search.measured, options).to_dict())
    if keep:
        folder.mkdir(parents=True, exist_ok=True)
        write_per_query(folder / "per_query.csv", search)
        write_atomically(folder / "neighbours.png", draw_neighbours(search, options).save)
        print(f"  written to {folder}")


def make_retrieval_row(search: Search, measured: SearchScores, options: SearchOptions) -> Result:
    """The ledger's row."""
    scores = measured.scores
    named = {name: value for name, value in scores.metrics().items() if math.isfinite(value)}  # JSON has no infinity
    metrics = named | {"rank1": scores.rank1, "rank5": scores.rank5, "map": scores.map,
                       "map_low": measured.interval[0], "map_high": measured.interval[1], "knn": measured.knn}
    details = {"protocol": search.protocol, "rerank": search.reranked, "queries": scores.queries,
               "skipped": scores.skipped, "interval": "95 % bootstrap over queries",
               "knn_protocol": measured.knn_protocol, "knn_k": options.knn_k, "knn_t": options.knn_t}
    return search.subject.result("retrieval", search.images, search.speed, metrics, details=details)


def tell_search(search: Search, options: SearchOptions) -> str:
    """The result for people, in a few lines."""
    if search.measured is None:
        return f"  {len(search.images)} {search.images.split} images without labels: neighbours, but no scores"
    scores, (low, high) = search.measured.scores, search.measured.interval
    named = {name: f"{value:.2%}" for name, value in scores.metrics().items()}
    among = "all others" if search.gallery is search.images else f"{len(search.gallery)} {search.gallery.split} images"
    return (f"  {scores.queries} {search.images.split} images query {among}"
            f" ({scores.skipped} skipped: no other image of their class)\n"
            f"  rank-1 {scores.rank1:.2%}   rank-5 {scores.rank5:.2%}   "
            f"mAP {scores.map:.2%} (95 % interval {low:.2%} to {high:.2%})\n"
            f"  mAP@R {named['map_at_r']}   mAP@100 {named['map_at_100']}   R-precision {named['r_precision']}"
            + (f"   NMI {named['nmi']}" if "nmi" in named else "")
            + f"\n  kNN ({search.measured.knn_protocol}, k {options.knn_k}) {search.measured.knn:.2%}"
            + (f"\n  re-ranked by {search.reranked}; kNN is not" if search.reranked else ""))


def write_per_query(path: Path, search: Search) -> None:
    """One line an image: key, class, rank of the first hit and AP (blank when not scored), keys of the nearest five.

    The columns after them are the query's other metrics, by the names of `evaluation.metrics.ranks`.
    """
    names, keys = (*search.images.classes, ""), [sample.key for sample in search.gallery.samples]
    more = [name for name in (search.measured.scores.per_query if search.measured else ()) if name != "map"]
    with open_table(path) as writer:
        listed = [f"near{place}" for place in range(1, LISTED + 1)]
        writer.writerow(["path", "class", "first_hit", "ap", *listed, *more])
        for index, sample in enumerate(search.images.samples):
            near = [keys[other] for other in search.neighbours[index, :LISTED].tolist()]
            near += [""] * (LISTED - len(near))
            hit, *values = describe_query(search.measured, index, ["map", *more])
            writer.writerow([sample.key, names[int(search.labels[index])], hit, values[0], *near, *values[1:]])


def describe_query(measured: SearchScores | None, index: int, names: Sequence[str]) -> list[str]:
    """Rank of the first hit and the named metrics of one query, blank where it was not scored."""
    hit = int(measured.scores.first_hit[index]) if measured else 0
    if measured is None or not hit:
        return [""] * (1 + len(names))
    return [str(hit), *(f"{float(measured.scores.per_query[name][index]):.6f}" for name in names)]


def draw_neighbours(search: Search, options: SearchOptions) -> Image.Image:
    """The worst queries (where labels tell) and a seeded draw of others, each with its neighbours."""
    names, scored = (*search.images.classes, ""), search.measured is not None

    def query_cell(index: int) -> Cell:
        name = names[int(search.labels[index])] if scored else search.images.samples[index].path.stem
        return Cell(index, show_name(name), None)

    def found_cell(index: int, query: int) -> Cell:
        label = int(search.gallery_labels[index])
        right = label == int(search.labels[query]) and label >= 0 if scored else None
        name = names[label] if scored else search.gallery.samples[index].path.stem
        return Cell(len(search.images) + index, show_name(name), right)

    def open_image(index: int) -> Image.Image:
        return search.subject.picture((search.images.samples + search.gallery.samples)[index])

    near = search.neighbours[:, : options.neighbours]
    cells = [cell for query in choose_queries(search, options.queries, options.seed)
             for cell in (query_cell(query), *(found_cell(other, query) for other in near[query].tolist()))]
    title = "query, then its nearest images: "
    if search.measured is not None:
        title += f"same class (green), other class (red); mAP {search.measured.scores.map:.1%}"
    else:
        title += "there are no labels"
    return draw_sheet(cells, 1 + near.shape[1], open_image, title)


def choose_queries(search: Search, count: int, seed: int) -> list[int]:
    """A random, seeded choice of the queries, and with labels a third of the sheet for those with the lowest AP."""
    candidates, worst = torch.arange(len(search.images)), []
    if search.measured is not None:
        scores = search.measured.scores
        candidates = (scores.first_hit > 0).nonzero().flatten()
        worst = candidates[scores.average_precision[candidates].argsort(stable=True)][: count // 3].tolist()
    others = [index for index in candidates.tolist() if index not in set(worst)]
    drawn = np.random.RandomState(seed).permutation(len(others))[: count - len(worst)]
    return sorted(others[place] for place in drawn) + worst
