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
from evaluation.metrics.similarity import TILE, Stripe, cross_stripes, normalise_rows
from evaluation.retrieval.diffusion import DiffusionPlan, diffusion_stripes
from evaluation.retrieval.k_reciprocal import ReciprocalPlan, reciprocal_stripes
from evaluation.retrieval.pairing import Pairing

METHODS = ("none", "aqe", "alpha-qe", "k-reciprocal", "diffusion")


@dataclass(frozen=True)
class Reranking:
    """What follows the search: `how` is one of METHODS; the numbers of the method in use."""

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


def rerank(pairing: Pairing, plan: Reranking, block: int = TILE) -> Iterator[Stripe]:
    """Scores [b, M] of all queries with the gallery, higher is nearer; "none" gives the cosines as they are."""
    if plan.how == "none":
        return pairing.stripes(block)
    if plan.how == "k-reciprocal":
        return reciprocal_stripes(pairing, plan.reciprocal, block)
    if plan.how == "diffusion":
        return diffusion_stripes(pairing, plan.diffusion, block)
    queries = expand_queries(pairing, plan.neighbours, 0.0 if plan.how == "aqe" else plan.alpha, block)
    return cross_stripes(queries, pairing.rows[pairing.answering], block)


def expand_queries(pairing: Pairing, neighbours: int, alpha: float, block: int = TILE) -> Tensor:
    """Unit rows [Q, D]: each query plus its nearest in the gallery times max(cosine, 0)^alpha; alpha 0 = plain mean."""
    gallery, parts = pairing.rows[pairing.answering], []
    for stripe in pairing.stripes(block):
        scores = leave_self(stripe.scores, stripe.start) if pairing.among_selves else stripe.scores
        near = take_top(scores, min(neighbours, pairing.most))
        weights = scores.gather(1, near).clamp(min=0) ** alpha
        own = pairing.rows[stripe.start : stripe.start + len(scores)]
        parts.append(own + torch.stack([weight @ gallery[index] for weight, index in zip(weights, near)]))
    return normalise_rows(torch.cat(parts))
