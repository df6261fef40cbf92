"""Better scores from the neighbours of neighbours, after the search and without training.

aqe: a query becomes the mean of itself and its n nearest (Chum et al., ICCV 2007). alpha-qe: the same weighted by
cosine^alpha (Radenovic et al., arXiv 1711.02512). k-reciprocal and diffusion are in files of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.metrics.ranking import leave_self, take_top
from evaluation.metrics.similarity import TILE, Chunk, cross_chunks, normalise_embeddings
from evaluation.options import RerankOptions
from evaluation.retrieval.diffusion import DiffusionPlan, diffusion_chunks
from evaluation.retrieval.k_reciprocal import ReciprocalPlan, reciprocal_chunks
from evaluation.retrieval.pairing import Pairing


@dataclass(frozen=True)
class Reranking:
    """What follows the search: `how` is one of RERANKINGS; the numbers of the method in use."""

    how: str = "none"
    neighbours: int = 10
    alpha: float = 3.0
    reciprocal: ReciprocalPlan = ReciprocalPlan()
    diffusion: DiffusionPlan = DiffusionPlan()

    def describe(self, images: int) -> str:
        """The method with its numbers among so many images, for tables and ledger; "" for none."""
        words = {"none": "", "aqe": f"aqe n={self.neighbours}",
                 "alpha-qe": f"alpha-qe n={self.neighbours} alpha={self.alpha:g}",
                 "k-reciprocal": self.reciprocal.describe(), "diffusion": self.diffusion.settle(images).describe()}
        return words[self.how]


def read_rerank(options: RerankOptions) -> Reranking:
    """What the options of re-ranking mean."""
    return Reranking(
        how=options.rerank,
        neighbours=options.qe_n,
        alpha=options.qe_alpha,
        reciprocal=ReciprocalPlan(options.k1, options.k2, options.jaccard_lambda),
        diffusion=DiffusionPlan(options.diffusion_k, options.diffusion_gamma, options.diffusion_alpha,
                                options.diffusion_mode, options.diffusion_n),
    )


def rerank(pairing: Pairing, plan: Reranking, chunk_size: int = TILE) -> Iterator[Chunk]:
    """Scores [b, M] of all queries with the gallery, higher is nearer; "none" gives the cosines as they are."""
    if plan.how == "none":
        return pairing.chunks(chunk_size)
    if plan.how == "k-reciprocal":
        return reciprocal_chunks(pairing, plan.reciprocal, chunk_size)
    if plan.how == "diffusion":
        return diffusion_chunks(pairing, plan.diffusion, chunk_size)
    queries = expand_queries(pairing, plan.neighbours, 0.0 if plan.how == "aqe" else plan.alpha, chunk_size)
    return cross_chunks(queries, pairing.embeddings[pairing.gallery], chunk_size)


def expand_queries(pairing: Pairing, neighbours: int, alpha: float, chunk_size: int = TILE) -> Tensor:
    """Unit embeddings [Q, D]: each query plus its nearest neighbours by max(cosine, 0)^alpha; alpha 0 = plain mean."""
    gallery, parts = pairing.embeddings[pairing.gallery], []
    for chunk in pairing.chunks(chunk_size):
        scores = leave_self(chunk.scores, chunk.start) if pairing.among_selves else chunk.scores
        near = take_top(scores, min(neighbours, pairing.most))
        weights = scores.gather(1, near).clamp(min=0) ** alpha
        own = pairing.embeddings[chunk.start : chunk.start + len(scores)]
        parts.append(own + torch.stack([weight @ gallery[index] for weight, index in zip(weights, near)]))
    return normalise_embeddings(torch.cat(parts))
