"""Diffusion re-ranking (Iscen et al., arXiv 1611.05113; offline and truncated: Yang et al., arXiv 1811.10907).

A_ij = max(x_i . x_j, 0)^gamma between mutual k-nearest neighbours; S = D^-1/2 A D^-1/2; a row of F solves
(I - alpha S) f = e_i. Two images score by the cosine of their rows of F. Queries and gallery make one graph.

dense: one Cholesky factor of all N images, O(N^2) memory. truncated: the system of each image is cut to its n nearest
(after S is normalised) and solved by conjugate gradients: O(N n) memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg
from torch import Tensor

from evaluation.metrics.similarity import TILE, Chunk, normalise_embeddings, self_chunks
from evaluation.retrieval.graph import Neighbours, find_neighbours, near_self
from evaluation.retrieval.pairing import Pairing

DENSE_LIMIT = 20_000


@dataclass(frozen=True)
class DiffusionPlan:
    """`k` neighbours (itself among them) and power `gamma` of the graph, `alpha`, and how it is solved.

    `mode` auto, dense or truncated; the rest is for truncated: `reach` images around each, `steps` and relative
    `tolerance` of the conjugate gradients.
    """

    k: int = 50
    gamma: float = 3.0
    alpha: float = 0.99
    mode: str = "auto"
    reach: int = 1000
    steps: int = 20
    tolerance: float = 1e-6

    def settle(self, images: int) -> DiffusionPlan:
        """The plan with "auto" decided for so many images."""
        mode = "dense" if images <= DENSE_LIMIT else "truncated"
        return replace(self, mode=mode) if self.mode == "auto" else self

    def describe(self) -> str:
        """For tables."""
        cut = f" n={self.reach}" if self.mode != "dense" else ""
        return f"diffusion {self.mode} k={self.k} gamma={self.gamma:g} alpha={self.alpha:g}{cut}"


def diffusion_chunks(pairing: Pairing, plan: DiffusionPlan, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Scores [b, M] of all queries with the gallery."""
    affinity = normalise_graph(find_neighbours(pairing.embeddings, plan.k, chunk_size), plan.gamma)
    if plan.settle(len(pairing.embeddings)).mode == "dense":
        spread = normalise_embeddings(diffuse_dense(affinity, plan.alpha, pairing.embeddings.device))
        yield from Pairing(spread, pairing.labels, pairing.query_count).chunks(chunk_size)
    else:
        spread = diffuse_truncated(pairing.embeddings, affinity, plan, chunk_size)
        yield from _sparse_chunks(spread, pairing, chunk_size)


def normalise_graph(near: Neighbours, gamma: float) -> csr_array:
    """S: the symmetric, normalised affinity of mutual neighbours, without loops: float64 [N, N]."""
    count, width = near.index.shape
    places = np.repeat(np.arange(count), width), near.index.ravel()
    apart = places[0] != places[1]
    weights = np.maximum(near.scores.ravel().astype(np.float64), 0) ** gamma
    links = csr_array((weights[apart], tuple(axis[apart] for axis in places)), shape=(count, count))
    mutual = links.minimum(links.T)  # 0 unless both are there; a cosine is the same from both sides
    scale = diags_array(1 / np.sqrt(np.asarray(mutual.sum(axis=1)).ravel() + 1e-12))
    return csr_array(scale @ mutual @ scale)


def diffuse_dense(affinity: csr_array, alpha: float, device: torch.device | str = "cpu") -> Tensor:
    """F = (1 - alpha) (I - alpha S)^-1, float32 [N, N]; symmetric positive definite since |S| <= 1."""
    system = torch.from_numpy((-alpha * affinity).toarray().astype(np.float32)).to(device)
    system.diagonal().add_(1)
    return torch.cholesky_inverse(torch.linalg.cholesky(system)).mul_(1 - alpha)


def diffuse_truncated(
    embeddings: Tensor, affinity: csr_array, plan: DiffusionPlan, chunk_size: int = TILE
) -> csr_array:
    """F of which row i knows only the `reach` nearest of i; rows of length 1, float32 [N, N]."""
    count, reach = len(embeddings), min(plan.reach, len(embeddings))
    system = csr_array(eye_array(count, format="csr") - plan.alpha * affinity)
    place, columns, values = np.full(count, -1), [], []
    for chunk in self_chunks(embeddings, chunk_size):
        for near in near_self(chunk, reach).index:
            columns.append(near.astype(np.int32))
            values.append(_solve_around(system, near, place, plan))
    starts = np.arange(count + 1, dtype=np.int64) * reach
    return csr_array((np.concatenate(values), np.concatenate(columns), starts), shape=(count, count))


def _solve_around(
    system: csr_array, near: NDArray[np.int64], place: NDArray[np.int64], plan: DiffusionPlan
) -> NDArray[np.float32]:
    """The unit solution [n] of the system cut to the images `near`, the first being the source.

    `place` [N] holds -1 and is scratch: it is left as it was.
    """
    local = system[near]
    place[near] = np.arange(len(near))
    columns = place[local.indices]
    place[near] = -1
    row = np.repeat(np.arange(len(near)), np.diff(local.indptr))[columns >= 0]
    cut = csr_array((local.data[columns >= 0], (row, columns[columns >= 0])), shape=(len(near),) * 2)
    source = np.zeros(len(near))
    source[0] = 1
    solution, _ = cg(cut, source, rtol=plan.tolerance, maxiter=plan.steps)
    return (solution / max(np.linalg.norm(solution), 1e-12)).astype(np.float32)


def _sparse_chunks(spread: csr_array, pairing: Pairing, chunk_size: int) -> Iterator[Chunk]:
    gallery = csr_array(spread[pairing.gallery].T)
    queries = range(*pairing.query.indices(len(pairing.embeddings)))
    for start in range(0, len(queries), chunk_size):
        scores = (spread[start : min(start + chunk_size, len(queries))] @ gallery).toarray()
        yield Chunk(start, torch.from_numpy(scores).to(pairing.embeddings.device))
