"""Cosine similarities of many rows with bounded memory and bit-exact repeatability.

A matrix product may sum in another order when its shape changes, so that two equal images get scores that differ in the
last bit and ties are decided by rounding. Every product here has one fixed shape (TILE x D by D x TILE, zero-padded),
and is done by one thread, hence a score depends on its two rows alone: not on the block, the position, the number of
images or the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

Item, Result = TypeVar("Item"), TypeVar("Result")

TILE = 256
HELD_ROWS = 8192  # up to here the whole matrix is kept (256 MB), and symmetry saves half of the products


@dataclass(frozen=True)
class Stripe:
    """Scores of the query rows `start` ... `start + len(scores)` with every gallery row: float32 [b, M]."""

    start: int
    scores: Tensor


def normalise_rows(features: Tensor) -> Tensor:
    """Unit rows in float32; [N, D] -> [N, D]. Rows of zeros stay zero. Raises ValueError when a value is not finite."""
    if features.ndim != 2:
        raise ValueError(f"features must be [N, D], got {list(features.shape)}")
    lengths = torch.linalg.vector_norm(features.float(), dim=1, keepdim=True)
    bad = (~torch.isfinite(lengths)).flatten().nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"{len(bad)} of {len(features)} feature rows hold NaN or infinity, first: {bad[:10]}")
    return features.float() / lengths.clamp(min=1e-12)


def pad_to_tiles(rows: Tensor) -> Tensor:
    """Zero rows appended up to a multiple of TILE, zero columns up to a multiple of 16: [N, D] -> [N', D']."""
    return F.pad(rows, (0, -rows.shape[1] % 16, 0, -rows.shape[0] % TILE))


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


def self_stripes(rows: Tensor, block: int = TILE) -> Iterator[Stripe]:
    """Stripes of rows @ rows.T for [N, D] rows, `block` queries at a time (rounded up to whole tiles)."""
    padded = pad_to_tiles(rows)
    if len(rows) <= HELD_ROWS:
        whole = _symmetric_product(padded)
        yield from _cut(len(rows), block, lambda start, stop: whole[start:stop, : len(rows)])
    else:
        yield from _cut(len(rows), block, lambda start, stop: _product(padded[start:stop], padded)[:, : len(rows)])


def cross_stripes(queries: Tensor, gallery: Tensor, block: int = TILE) -> Iterator[Stripe]:
    """Stripes of queries @ gallery.T for [N, D] and [M, D] rows, `block` queries at a time (whole tiles)."""
    left, right = pad_to_tiles(queries), pad_to_tiles(gallery)
    yield from _cut(len(queries), block, lambda start, stop: _product(left[start:stop], right)[:, : len(gallery)])


def _cut(count: int, block: int, rows_of) -> Iterator[Stripe]:
    step = TILE * -(-block // TILE)
    for start in range(0, count, step):
        yield Stripe(start, rows_of(start, start + step)[: count - start])


def _product(left: Tensor, right: Tensor) -> Tensor:
    out = left.new_empty(len(left), len(right))
    tiles = product(range(0, len(left), TILE), range(0, len(right), TILE))
    run_apart(lambda tile: _fill_tile(out, left, right, *tile), tiles)
    return out


def _symmetric_product(rows: Tensor) -> Tensor:
    out = rows.new_empty(len(rows), len(rows))

    def fill(row: int) -> None:
        for column in range(row, len(rows), TILE):
            _fill_tile(out, rows, rows, row, column)
            if column > row:
                out[column : column + TILE, row : row + TILE] = out[row : row + TILE, column : column + TILE].T

    run_apart(fill, range(0, len(rows), TILE))
    return out


def _fill_tile(out: Tensor, left: Tensor, right: Tensor, row: int, column: int) -> None:
    tile = out[row : row + TILE, column : column + TILE]
    torch.mm(left[row : row + TILE], right[column : column + TILE].T, out=tile)
