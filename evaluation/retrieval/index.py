"""Search indices of faiss over unit embeddings, by cosine: built, searched, and measured against the exact answer.

flat compares with every embedding (exact). ivf looks into some of the lists that k-means made. hnsw walks a graph of
neighbours (Malkov & Yashunin, arXiv 1603.09320). ivfpq is ivf with embeddings squeezed into a few bytes (Jegou et al.,
TPAMI 2011).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.features.forms import Vectors
from evaluation.metrics.clustering import FAISS_SEEDS
from evaluation.metrics.similarity import cross_chunks
from evaluation.options import INDEX_KINDS
from runtime.errors import ConfigError

CHUNK = 65536  # embeddings added at a time
LEARNT = 256  # training embeddings a list
MOST_LEARNT = 2**18  # training embeddings that are held at a time, or `FEWEST_LEARNT` a list where that is more
FEWEST_LEARNT = 39  # as faiss advises


@dataclass(frozen=True)
class IndexPlan:
    """What to build; 0 = chosen by `settle_index`.

    `lists` of ivf and ivfpq, of which a query looks into `probes`; hnsw's `links` a node and `reach` of a search;
    `bytes` an embedding of ivfpq has, which divide its width.
    """

    kind: str = "flat"
    lists: int = 0
    probes: int = 0
    links: int = 32
    reach: int = 128
    bytes: int = 0
    seed: int = 0


@dataclass(frozen=True)
class IndexReport:
    """`recall`: by depth, the share of the exact k nearest others that the index finds; time of one query alone."""

    recall: dict[int, float]
    milliseconds: float
    exact_milliseconds: float
    queries: int


def settle_index(plan: IndexPlan, count: int, width: int) -> IndexPlan:
    """The plan with its numbers chosen for embeddings [count, width]; raises ConfigError where it does not fit them."""
    lists = plan.lists or max(min(round(4 * count**0.5), count // 39), 1)
    squeezed = plan.bytes or max(size for size in range(1, 65) if width % size == 0)
    by_lists = plan.kind.startswith("ivf")
    problems = [f"{lists} lists of {count} embeddings: give at most {count}"] * (by_lists and lists > count)
    if plan.kind == "ivfpq":
        problems += [f"{squeezed} bytes do not divide the width {width}"] * bool(width % squeezed)
        problems += [f"ivfpq learns 256 codes and there are {count} embeddings: use flat"] * (count < 256)
    if problems:
        raise ConfigError("; ".join(problems))
    return IndexPlan(plan.kind, lists, plan.probes or max(lists // 16, min(lists, 8)), plan.links, plan.reach, squeezed,
                     plan.seed)


def build_index(embeddings: Vectors, plan: IndexPlan) -> Any:
    """A faiss index of unit embeddings [N, D] in their order; a memory map or shards are read piece by piece."""
    count, width = embeddings.shape
    plan = settle_index(plan, count, width)
    index = _make(plan, width)
    if not index.is_trained:
        most = min(LEARNT * max(plan.lists, 256), max(MOST_LEARNT, FEWEST_LEARNT * plan.lists))
        taken = np.random.default_rng(plan.seed).permutation(count)[:most]
        for clustering in (index.cp, *([index.pq.cp] if plan.kind == "ivfpq" else [])):
            clustering.seed, clustering.min_points_per_centroid = plan.seed % FAISS_SEEDS, 1
        index.train(np.ascontiguousarray(embeddings[np.sort(taken)]))
    add_rows(index, embeddings, np.arange(count))
    return set_effort(index, plan)


def add_rows(index: Any, embeddings: Vectors, rows: NDArray[np.int64]) -> None:
    """Add some rows of the embeddings to an index, under their numbers; a flat one knows them by their order alone."""
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        vectors = np.ascontiguousarray(embeddings[part])
        if isinstance(index, faiss.IndexFlat):
            index.add(vectors)
        else:
            index.add_with_ids(vectors, part)


def _make(plan: IndexPlan, width: int) -> Any:
    by_cosine = faiss.METRIC_INNER_PRODUCT
    if plan.kind == "hnsw":
        return _own(faiss.IndexIDMap, faiss.IndexHNSWFlat(width, plan.links, by_cosine))
    flat: Any = faiss.IndexFlatIP(width)  # SWIG's object, of which its types do not tell all
    if plan.kind == "flat":
        return flat
    if plan.kind == "ivf":
        return _own(faiss.IndexIVFFlat, flat, width, plan.lists, by_cosine)
    if plan.kind == "ivfpq":
        return _own(faiss.IndexIVFPQ, flat, width, plan.lists, plan.bytes, 8, by_cosine)
    raise ConfigError(f"no index is called {plan.kind!r}, only {', '.join(INDEX_KINDS)}")


def _own(kind: Any, inner: Any, *how: Any) -> Any:
    """An index around another, which lives as long as it."""
    index = kind(inner, *how)
    index.own_fields = True
    inner.this.disown()
    return index


def set_effort(index: Any, plan: IndexPlan) -> Any:
    """The index with the plan's effort a query: faiss keeps it with some kinds and not with others."""
    if plan.kind == "hnsw":
        graph: Any = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index
        graph.hnsw.efSearch = plan.reach
    elif plan.kind != "flat":
        index.nprobe = plan.probes
    return index


@dataclass(frozen=True)
class IndexHits:
    """Embeddings found for each query, best first: `ids` int64 [Q, k], -1 where the index found fewer; `scores` [Q, k].

    The scores are cosines, with ivfpq those of the squeezed embeddings.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


def search_index(index: Any, queries: NDArray[np.float32], k: int) -> IndexHits:
    """The k embeddings that the index finds nearest to each query [Q, D]."""
    vectors = np.ascontiguousarray(queries, dtype=np.float32)
    if isinstance(index, faiss.IndexIDMap):  # a graph is walked through rows that are gone, which are not found
        graph: Any = faiss.downcast_index(index.index)
        kinds: Any = faiss  # its types do not tell of the class
        there = kinds.SearchParametersHNSW(sel=faiss.IDSelectorRange(0, 2**62), efSearch=graph.hnsw.efSearch)
        # Once faiss.contrib.torch_utils was imported (by pytorch-metric-learning), faiss's own search has this name.
        search = getattr(index, "search_numpy", index.search)
        scores, ids = search(vectors, min(k, index.ntotal), params=there)
    else:
        scores, ids = index.search(vectors, min(k, index.ntotal))
    return IndexHits(ids, scores)


def count_rows(index: Any) -> int:
    """Embeddings of an index, those left out that are gone from a graph."""
    if isinstance(index, faiss.IndexIDMap):
        return int((faiss.vector_to_array(index.id_map) >= 0).sum())
    return int(index.ntotal)


def measure_index(
    index: Any, embeddings: Vectors, depths: tuple[int, ...] = (1, 10, 100), queries: int = 1000, seed: int = 0
) -> IndexReport:
    """Let a seeded draw of the embeddings query the others, in the index and exactly; a single one has none to find.

    A hit counts when it is as near as the exact k-th, so that ties do not decide.
    """
    depths = tuple(depth for depth in depths if depth < len(embeddings))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(embeddings))[:queries])
    vectors, most = np.ascontiguousarray(embeddings[chosen]), max(depths, default=0)
    start = time.perf_counter()
    found = search_index(index, vectors, most + 1).ids
    middle = time.perf_counter()
    near, nearest = _compare(torch.from_numpy(vectors), torch.from_numpy(chosen), torch.from_numpy(found), embeddings,
                             most)
    end = time.perf_counter()
    recall = _count_found(near, nearest, depths)
    return IndexReport(recall, 1000 * (middle - start) / len(chosen), 1000 * (end - middle) / len(chosen), len(chosen))


def _compare(
    queries: torch.Tensor, own: torch.Tensor, found: torch.Tensor, embeddings: Vectors, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines of queries [Q, D] with those `found` [Q, k + 1] (-inf: the query itself, or none), and the k best [Q, k].

    `own` [Q] is the row of each query, with which it is not compared; `CHUNK` embeddings are held at a time.
    """
    near = torch.full(found.shape, -torch.inf)
    best = torch.full((len(queries), k), -torch.inf)
    for first in range(0, len(embeddings), CHUNK):
        part = torch.from_numpy(np.ascontiguousarray(embeddings[first : first + CHUNK]))
        for chunk in cross_chunks(queries, part):
            here = slice(chunk.start, chunk.start + len(chunk.scores))
            places = own[here] - first
            mine = ((places >= 0) & (places < len(part))).nonzero().flatten()
            chunk.scores[mine, places[mine]] = -torch.inf
            ids = found[here] - first
            inside = (found[here] >= 0) & (ids >= 0) & (ids < len(part))
            near[here] = torch.where(inside, chunk.scores.gather(1, ids.clamp(0, len(part) - 1)), near[here])
            top = chunk.scores.topk(min(k, len(part)), dim=1).values
            best[here] = torch.cat([best[here], top], dim=1).topk(k, dim=1).values
    return near, best


def _count_found(near: torch.Tensor, nearest: torch.Tensor, depths: tuple[int, ...]) -> dict[int, float]:
    """Cosines found [Q, k + 1] (-inf: nothing, or the query itself) against the exact best [Q, k], by depth."""
    near = near.sort(dim=1, descending=True).values
    return {depth: float((near[:, :depth] >= nearest[:, depth - 1 : depth] - 1e-6).double().mean()) for depth in depths}
