"""Image retrieval from encoder to files: features, scores, per-query table, picture of neighbours."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from datasets.images import first_split
from engine.results_folder import append_to
from engine.workflows.report.facts import describe_evaluation
from engine.workflows.report.neighbours import draw_neighbours, gather_neighbourhood
from engine.workflows.report.page import refresh_pages, try_to_write, write_page
from evaluation.features.subject import Subject, check_classes, homes, open_start
from evaluation.ledger import Result
from evaluation.metrics.bootstrap import interval
from evaluation.metrics.clustering import score_clusters
from evaluation.metrics.geometry import measure_geometry
from evaluation.metrics.knn import knn_accuracy, knn_leave_one_out
from evaluation.metrics.similarity import Chunk
from evaluation.options import SearchOptions
from evaluation.reports.run.neighbours import save_neighbourhood
from evaluation.retrieval.found import Search, SearchScores
from evaluation.retrieval.pairing import Pairing
from evaluation.retrieval.protocol import Contest, open_contest
from evaluation.retrieval.rerank import read_rerank, rerank
from evaluation.retrieval.score import choose_chunk_size, score_chunks, take_nearest
from runtime import distributed
from runtime.errors import ConfigError, WeightsError
from runtime.files import open_table, write_atomically

LISTED = 5


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


def search_before(search: Search, options: SearchOptions) -> Search | None:
    """The same retrieval with the weights that a run started from; None where there are none, or for other weights.

    Every rank calls it. What a random network finds is not asked; weights that are gone are a note.
    """
    subject = search.subject
    start = str(subject.settings.get("pretrained") or "none")
    if not options.before or subject.folder is None or start in ("none", "auto"):
        return None
    try:
        earlier = open_start(subject, start)
    except (ConfigError, WeightsError) as error:
        if distributed.is_main():
            print(f"note: no neighbours before training are shown: {error}", file=sys.stderr)
        return None
    return run_search(earlier, replace(options, split=search.images.split, rerank="none", clusters=False, knn=False))


def write_search(
    search: Search, folder: Path, options: SearchOptions, *, keep: bool = True, before: Search | None = None
) -> None:
    """Print scores; per_query.csv, neighbours.png, report.html, with labels a row of results.jsonl; a run's page anew.

    The row is added here and in the run's folder. Without `keep` the folder cannot be written to, and scores are all
    there is. `before` is shown beside on the page, see `search_before`.
    """
    print(f"retrieval with {search.subject.describe()}\n{tell_search(search, options)}")
    if search.measured:
        append_to(homes(folder, search.subject, keep), make_retrieval_row(search, search.measured, options).to_dict())
    if keep:
        folder.mkdir(parents=True, exist_ok=True)
        write_per_query(folder / "per_query.csv", search)
        write_atomically(folder / "neighbours.png", draw_neighbours(search, options).save)
        try_to_write(lambda: write_search_page(search, before, folder, options), folder)
        print(f"  written to {folder}")
    refresh_pages(homes(folder, search.subject, keep=False))


def write_search_page(search: Search, before: Search | None, folder: Path, options: SearchOptions) -> None:
    """report.html of a retrieval, and neighbours.json, which the page of the run shows too."""
    found, run = gather_neighbourhood(search, before, options), search.subject.folder
    save_neighbourhood(folder, found)
    if run is not None and run.resolve() not in folder.resolve().parents:  # else the run's page finds it below
        save_neighbourhood(run, found)
    parts = {"queries": search.images} | ({} if search.gallery is search.images else {"searched": search.gallery})
    write_page(folder, describe_evaluation("main_retrieval.py", search.subject, options, parts))


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
