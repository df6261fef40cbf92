"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017, arXiv 1701.08398), on sparse matrices.

d is the squared distance of unit embeddings over the query's largest. R(p, k): the k nearest of p that have p among
their k nearest, p included. R*(p): R(p, k1) with R(q, k1/2) of every q in it that shares at least 2/3 of its members.
V_p: exp(-d) over R*(p), made to sum to 1, then averaged over the k2 nearest. The final distance is
(1 - lambda) (1 - sum min(V_p, V_g) / sum max(V_p, V_g)) + lambda d.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array
from torch import Tensor

from evaluation.metrics.similarity import TILE, Chunk
from evaluation.retrieval.graph import find_neighbours
from evaluation.retrieval.pairing import Pairing

CHUNK = 65536  # pairs whose cosine is computed at once


@dataclass(frozen=True)
class ReciprocalPlan:
    """`k1` mutual neighbours, `k2` averaged ones, `weight` (lambda) of the first distance."""

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def describe(self) -> str:
        """For tables."""
        return f"k-reciprocal k1={self.k1} k2={self.k2} lambda={self.weight:g}"


def reciprocal_chunks(pairing: Pairing, plan: ReciprocalPlan, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Minus the final distance [b, M] of all queries with the gallery; both together make the neighbourhoods."""
    embeddings = pairing.embeddings
    near = find_neighbours(embeddings, max(plan.k1 + 1, plan.k2), chunk_size)
    spread = np.maximum(1 - near.lowest, 1e-12)
    codes = average_codes(encode_members(embeddings, expand(near.index, plan.k1), spread), near.index[:, : plan.k2])
    by_member = csc_array(codes[pairing.gallery])
    for chunk in pairing.chunks(chunk_size):
        first = (1 - chunk.scores.cpu().numpy()) / spread[chunk.start : chunk.start + len(chunk.scores), None]
        shared = np.stack([share(codes, by_member, chunk.start + query) for query in range(len(first))])
        final = (1 - plan.weight) * (1 - shared / (2 - shared)) + plan.weight * first
        yield Chunk(chunk.start, torch.from_numpy(-final.astype(np.float32)).to(embeddings.device))


def find_mutual(index: NDArray[np.int64], k: int) -> csr_array:
    """R(., k) as a 0/1 matrix [N, N]; `index` [N, > k] has each row itself first."""
    near = index[:, : k + 1]
    rows = np.repeat(np.arange(len(near)), near.shape[1])
    links = csr_array((np.ones(near.size), (rows, near.ravel())), shape=(len(near),) * 2)
    return csr_array(links.multiply(links.T))


def expand(index: NDArray[np.int64], k1: int) -> csr_array:
    """R* as a 0/1 matrix [N, N]."""
    mutual, half = find_mutual(index, k1), find_mutual(index, round(k1 / 2))
    overlap = csr_array(mutual.multiply(mutual @ half.T)).tocoo()
    sizes = np.asarray(half.sum(axis=1)).ravel()
    taken = 3 * overlap.data >= 2 * sizes[overlap.coords[1]]
    chosen = csr_array((np.ones(int(taken.sum())), tuple(axis[taken] for axis in overlap.coords)), shape=overlap.shape)
    return csr_array((mutual + chosen @ half) > 0)


def encode_members(embeddings: Tensor, members: csr_array, spread: NDArray[np.float32]) -> csr_array:
    """V before averaging: exp(-d) at the members, rows that sum to 1."""
    places = members.tocoo().coords
    left, right = (torch.from_numpy(axis.astype(np.int64)).to(embeddings.device) for axis in places)
    cosines = torch.cat([(embeddings[a] * embeddings[b]).sum(dim=1)
                         for a, b in zip(left.split(CHUNK), right.split(CHUNK))])
    weights = np.exp(-(1 - cosines.cpu().numpy().astype(np.float64)) / spread[places[0]])
    code = csr_array((weights, places), shape=members.shape)
    return csr_array(diags_array(1 / np.asarray(code.sum(axis=1)).ravel()) @ code)


def average_codes(codes: csr_array, near: NDArray[np.int64]) -> csr_array:
    """The mean of the codes of each embedding's nearest [N, k2]."""
    rows = np.repeat(np.arange(len(near)), near.shape[1])
    mean = csr_array((np.full(near.size, 1 / near.shape[1]), (rows, near.ravel())), shape=codes.shape)
    return csr_array(mean @ codes)


def share(codes: csr_array, by_member: csc_array, query: int) -> NDArray[np.float64]:
    """sum_j min(V_query,j, V_g,j) for every row g of `by_member` [M, N]: [M]."""
    own = slice(codes.indptr[query], codes.indptr[query + 1])
    starts, stops = by_member.indptr[codes.indices[own]], by_member.indptr[codes.indices[own] + 1]
    places = np.concatenate([np.arange(start, stop) for start, stop in zip(starts, stops)])
    lower = np.minimum(by_member.data[places], np.repeat(codes.data[own], stops - starts))
    shared = np.bincount(by_member.indices[places], lower, minlength=by_member.shape[0])
    return shared.astype(np.float64, copy=False)
