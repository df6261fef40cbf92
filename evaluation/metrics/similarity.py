"""Similarities of many rows, by cosine or Euclidean distance, with bounded memory and bit-exact repeatability.

A matrix product may sum in another order when its shape changes, so that two equal images get scores that differ in the
last bit and ties are decided by rounding. Every product here has one fixed shape (TILE x D by D x TILE, zero-padded),
and is done by one thread, hence a score depends on its two rows alone: not on the chunk, the position, the number of
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
HELD_ROWS = 8192  # up to here the whole matrix is kept (256 MB), and symmetry saves half of the products


@dataclass(frozen=True)
class Chunk:
    """Scores of the query rows `start` ... `start + len(scores)` with every gallery row: float32 [b, M]."""

    start: int
    scores: Tensor


def normalise_rows(features: Tensor) -> Tensor:
    """Unit rows in float32; [N, D] -> [N, D]. Rows of zeros stay zero. Raises DataError when a value is not finite."""
    return features.float() / measure_lengths(features).clamp(min=1e-12)


def measure_lengths(features: Tensor) -> Tensor:
    """Euclidean length of every row in float32: [N, D] -> [N, 1]; raises DataError when a value is not finite."""
    if features.ndim != 2:
        raise ValueError(f"features must be [N, D], got {list(features.shape)}")
    lengths = torch.linalg.vector_norm(features.float(), dim=1, keepdim=True)
    bad = (~torch.isfinite(lengths)).flatten().nonzero().flatten().tolist()
    if bad:
        raise DataError(f"{len(bad)} of {len(features)} feature rows hold NaN or infinity, first: {bad[:10]}")
    return lengths


def cut_tiles(rows: Tensor) -> list[Tensor]:
    """Pieces [TILE, D'] of rows [N, D]: zero columns fill D up to a multiple of 16, zero rows the last piece.

    Only what is filled up is copied.
    """
    missing = -rows.shape[1] % 16
    tiles = list((F.pad(rows, (0, missing)) if missing else rows.contiguous()).split(TILE))
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


def self_chunks(rows: Tensor, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Chunks of rows @ rows.T for [N, D] rows, `chunk_size` queries at a time (rounded up to whole tiles)."""
    tiles = cut_tiles(rows)
    if len(rows) <= HELD_ROWS:
        whole = _symmetric_product(tiles)
        yield from _cut(rows, rows, chunk_size, lambda part: whole[part.start * TILE : part.stop * TILE])
    else:
        yield from _cut(rows, rows, chunk_size, lambda part: _product(tiles[part], tiles))


def cross_chunks(queries: Tensor, gallery: Tensor, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Chunks of queries @ gallery.T for [N, D] and [M, D] rows, `chunk_size` queries at a time (whole tiles)."""
    need_one_width(queries, gallery)
    left, right = cut_tiles(queries), cut_tiles(gallery)
    yield from _cut(queries, gallery, chunk_size, lambda part: _product(left[part], right))


def euclid_chunks(features: Tensor, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Chunks of x . y - |y|^2 / 2 for all pairs of rows [N, D]: in each row of scores, the nearest has the highest.

    That is (|x|^2 - distance^2) / 2; the mean row is subtracted first, which moves no distance and costs fewer digits.
    Raises DataError when a value is not finite.
    """
    measure_lengths(features)
    rows = features.float() - features.float().mean(dim=0)
    halves = rows.square().sum(dim=1, keepdim=True) / 2
    queries, gallery = torch.cat([rows, torch.ones_like(halves)], dim=1), torch.cat([rows, -halves], dim=1)
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
