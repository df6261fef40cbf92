"""Better scores from the neighbours of neighbours, after the search and without training.

aqe: a query becomes the mean of itself and its n nearest (Chum et al., ICCV 2007). alpha-qe: the same weighted by
cosine^alpha (Radenovic et al., arXiv 1711.02512). k-reciprocal and diffusion are in files of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.args import Parser
from engine.evaluate.diffusion import DENSE_LIMIT, DiffusionPlan, diffusion_stripes
from engine.evaluate.k_reciprocal import ReciprocalPlan, reciprocal_stripes
from engine.evaluate.pairing import Pairing
from engine.evaluate.ranking import leave_self, take_top
from engine.evaluate.similarity import TILE, Stripe, cross_stripes, normalise_rows
from engine.ranges import COUNT, POSITIVE, SHARE, SHARE_BELOW_1

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


def add_rerank(parser: Parser) -> None:
    """The flags that `read_rerank` reads."""
    group = parser.add_argument_group("re-ranking")
    group.add_argument("--rerank", choices=METHODS, default="none", help="what to do with neighbours after the search")
    group.add_argument("--qe-n", type=COUNT, default=10, help="aqe, alpha-qe: neighbours averaged with the query")
    group.add_argument("--qe-alpha", type=POSITIVE, default=3.0, help="alpha-qe: power of the cosine that weighs them")
    group.add_argument("--k1", type=COUNT, default=20, help="k-reciprocal: neighbours that must be mutual")
    group.add_argument("--k2", type=COUNT, default=6, help="k-reciprocal: neighbours whose sets are averaged")
    group.add_argument("--jaccard-lambda", type=SHARE, default=0.3, help="k-reciprocal: share of the first distance")
    group.add_argument("--diffusion-mode", choices=("auto", "dense", "truncated"), default="auto",
                       help=f"auto = dense up to {DENSE_LIMIT:,} images")
    group.add_argument("--diffusion-k", type=COUNT, default=50,
                       help="neighbours in the graph, an image itself included")
    group.add_argument("--diffusion-gamma", type=POSITIVE, default=3.0, help="power of the cosine on an edge")
    group.add_argument("--diffusion-alpha", type=SHARE_BELOW_1, default=0.99, help="how far to walk, from 0 to below 1")
    group.add_argument("--diffusion-n", type=COUNT, default=1000, help="truncated: images around one that it may reach")


def read_rerank(args: argparse.Namespace) -> Reranking:
    """The flags' meaning."""
    return Reranking(
        how=args.rerank,
        neighbours=args.qe_n,
        alpha=args.qe_alpha,
        reciprocal=ReciprocalPlan(args.k1, args.k2, args.jaccard_lambda),
        diffusion=DiffusionPlan(args.diffusion_k, args.diffusion_gamma, args.diffusion_alpha, args.diffusion_mode,
                                args.diffusion_n),
    )


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
