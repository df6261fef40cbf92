"""Similarities of many embeddings, by cosine or Euclidean distance, with bounded memory and bit-exact repeatability.

A matrix product may sum in another order when its shape changes, so that two equal images get scores that differ in the
last bit and ties are decided by rounding. Every product here has one fixed shape (TILE x D by D x TILE, zero-padded),
and is done by one thread, so a score depends on its two embeddings alone: not on the chunk, the position, the number of
images or the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.inspection import need_one_width
from runtime.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

TILE = 256
MOST_HELD = 8192  # up to here the whole matrix is kept (256 MB), and symmetry saves half of the products


@dataclass(frozen=True)
class Chunk:
    """Scores of the query embeddings `start` ... `start + len(scores)` with every gallery embedding: float32 [b, M]."""

    start: int
    scores: Tensor


def normalise_embeddings(features: Tensor) -> Tensor:
    """Embeddings of length 1 in float32: [N, D] -> [N, D]; zeros stay zero. Raises DataError for what is not finite."""
    return features.float() / measure_lengths(features).clamp(min=1e-12)


def measure_lengths(features: Tensor) -> Tensor:
    """Euclidean length of every embedding in float32: [N, D] -> [N, 1]; raises DataError when a value is not finite."""
    if features.ndim != 2:
        raise ValueError(f"features must be [N, D], got {list(features.shape)}")
    lengths = torch.linalg.vector_norm(features.float(), dim=1, keepdim=True)
    bad = (~torch.isfinite(lengths)).flatten().nonzero().flatten().tolist()
    if bad:
        raise DataError(f"{len(bad)} of {len(features)} feature embeddings hold NaN or infinity, first: {bad[:10]}")
    return lengths


def cut_tiles(embeddings: Tensor) -> list[Tensor]:
    """Pieces [TILE, D'] of embeddings [N, D]: zero columns fill D up to a multiple of 16, zero rows the last piece.

    Only what is filled up is copied.
    """
    missing = -embeddings.shape[1] % 16
    tiles = list((F.pad(embeddings, (0, missing)) if missing else embeddings.contiguous()).split(TILE))
    tiles[-1] = F.pad(tiles[-1], (0, 0, 0, TILE - len(tiles[-1])))
    return tiles


def run_apart(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`work` of every item, in order; as many at once as torch has threads, each of them in a single thread.

    Many small pieces are done faster so than one after another by all threads, which would wait for each other in every
    piece; and no bit depends on the number of threads.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as workers:
            return list(workers.map(work, items))
    finally:
        torch.set_num_threads(threads)  # the workers' choice would become that of every thread started later


def self_chunks(embeddings: Tensor, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Chunks of embeddings @ embeddings.T [N, N], `chunk_size` queries at a time (rounded up to whole tiles)."""
    tiles = cut_tiles(embeddings)
    if len(embeddings) <= MOST_HELD:
        whole = _symmetric_product(tiles)
        yield from _cut(embeddings, embeddings, chunk_size, lambda part: whole[part.start * TILE : part.stop * TILE])
    else:
        yield from _cut(embeddings, embeddings, chunk_size, lambda part: _product(tiles[part], tiles))


def cross_chunks(queries: Tensor, gallery: Tensor, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Chunks of queries @ gallery.T for [N, D] and [M, D] embeddings, `chunk_size` queries at a time (whole tiles)."""
    need_one_width(queries, gallery)
    left, right = cut_tiles(queries), cut_tiles(gallery)
    yield from _cut(queries, gallery, chunk_size, lambda part: _product(left[part], right))


def euclid_chunks(features: Tensor, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Chunks of x . y - |y|^2 / 2 for all pairs of features [N, D]: in each row of scores, the nearest has the highest.

    That is (|x|^2 - distance^2) / 2; the mean is subtracted first, which moves no distance and costs fewer digits.
    Raises DataError when a value is not finite.
    """
    measure_lengths(features)
    embeddings = features.float() - features.float().mean(dim=0)
    halves = embeddings.square().sum(dim=1, keepdim=True) / 2
    queries, gallery = torch.cat([embeddings, torch.ones_like(halves)], dim=1), torch.cat([embeddings, -halves], dim=1)
    return cross_chunks(queries, gallery, chunk_size)


def _cut(queries: Tensor, gallery: Tensor, chunk_size: int, score: Callable[[slice], Tensor]) -> Iterator[Chunk]:
    """Chunks from the scores of slices of tiles, without the rows and columns that fill them up."""
    step = -(-chunk_size // TILE)
    for first in range(0, -(-len(queries) // TILE), step):
        start = first * TILE
        yield Chunk(start, score(slice(first, first + step))[: len(queries) - start, : len(gallery)])


def _product(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Every tile with every tile: [len(left) * TILE, len(right) * TILE]."""
    out = left[0].new_empty(len(left) * TILE, len(right) * TILE)
    run_apart(lambda place: _fill_tile(out, left, right, *place), product(range(len(left)), range(len(right))))
    return out


def _symmetric_product(tiles: Sequence[Tensor]) -> Tensor:
    """The same of tiles with themselves; what lies below the diagonal is copied from above."""
    out = tiles[0].new_empty(len(tiles) * TILE, len(tiles) * TILE)

    def fill(row: int) -> None:
        for column in range(row, len(tiles)):
            tile = _fill_tile(out, tiles, tiles, row, column)
            if column > row:
                _find_tile(out, column, row).copy_(tile.T)

    run_apart(fill, range(len(tiles)))
    return out


def _fill_tile(out: Tensor, left: Sequence[Tensor], right: Sequence[Tensor], row: int, column: int) -> Tensor:
    return torch.mm(left[row], right[column].T, out=_find_tile(out, row, column))


def _find_tile(out: Tensor, row: int, column: int) -> Tensor:
    return out[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
