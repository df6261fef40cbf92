"""The flags of re-ranking."""

from __future__ import annotations

import argparse

from engine.flags.parser import Parser
from engine.flags.ranges import COUNT, POSITIVE, SHARE, SHARE_BELOW_1
from evaluation.retrieval.diffusion import DENSE_LIMIT, DiffusionPlan
from evaluation.retrieval.k_reciprocal import ReciprocalPlan
from evaluation.retrieval.rerank import METHODS, Reranking


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
