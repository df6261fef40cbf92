"""Batch miners: which triplets, or which pairs of each anchor, a metric loss looks at.

Every draw comes from the generator that is handed in, so that all processes of a run mine the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from losses.metric.multisimilarity import pair_masks
from losses.relational import in_single

TRIPLET_MINERS = ("random", "semihard", "softhard", "distance", "rho_distance")
TUPLE_MINERS = ("npair", "lifted")
REFUSED_MINERS = {
    "parametric": "the published code lacks the flags of its histogram and stops in a debugger",
    "random_distance": "it is a control experiment, distance mining on shuffled labels",
    "intra_random": "it is a control experiment, triplets within one class",
}


@dataclass(frozen=True)
class MinerOptions:
    """`margin` of semihard; `lower_cutoff` of distances and `swap` the share of same-class triplets of rho_distance."""

    margin: float = 0.2
    lower_cutoff: float = 0.5
    swap: float = 0.2


@dataclass(frozen=True)
class Triplets:
    """Places in the batch, LongTensor [T] each; rho_distance also has triplets of one class whose positive is the

    anchor itself.
    """

    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def __len__(self) -> int:
        """Number of triplets."""
        return len(self.anchor)


@dataclass(frozen=True)
class Tuples:
    """For each anchor, LongTensor [A], its positives and negatives, bool [A, B]."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


@torch.no_grad()
def mine(
    name: str, embeddings: Tensor, labels: Tensor, generator: torch.Generator, options: MinerOptions = MinerOptions()
) -> Triplets | Tuples:
    """What a miner of that name takes from a batch: [B, D], [B]. Anchors without positive or negative are left out.

    The generator is one of the CPU. Raises ValueError for a name that is not there, with the reason.
    """
    refuse_miner(name)
    positives, negatives = pair_masks(labels)
    if name == "random":
        return mine_random(positives, negatives, generator)
    anchors = (positives.any(dim=1) & negatives.any(dim=1)).nonzero().flatten()
    positives, negatives = positives[anchors], negatives[anchors]
    if name == "lifted":
        return Tuples(anchors, positives, negatives)
    if name == "npair":
        chosen = torch.zeros_like(positives).scatter_(1, pick(positives, generator)[:, None], True)
        return Tuples(anchors, chosen, negatives)
    distance = euclid(embeddings)[anchors]
    if name == "semihard":
        return mine_semihard(anchors, distance, positives, negatives, generator, options.margin)
    if name == "softhard":
        return mine_softhard(anchors, distance, positives, negatives, generator)
    weights = inverse_density(distance, embeddings.shape[1], options.lower_cutoff)
    far = Triplets(anchors, pick(positives, generator),
                   pick_weighted(weights.masked_fill(~negatives, -torch.inf), generator))
    return far if name == "distance" else swap_some(far, positives, generator, options.swap)


def refuse_miner(name: str) -> None:
    """Raise ValueError for a miner that is not there, with the reason."""
    if name in REFUSED_MINERS:
        raise ValueError(f"the miner {name} is not offered: {REFUSED_MINERS[name]}; take distance")
    if name not in (*TRIPLET_MINERS, *TUPLE_MINERS):
        raise ValueError(f"no miner {name!r}; there are {', '.join((*TRIPLET_MINERS, *TUPLE_MINERS))}")


def euclid(embeddings: Tensor) -> Tensor:
    """Distances of all pairs: [B, D] -> [B, B], from differences, so that near pairs are exact."""
    rows = in_single(embeddings)
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def pick(mask: Tensor, generator: torch.Generator) -> Tensor:
    """One of the masked places of each row, all equally likely: bool [A, B] -> LongTensor [A]."""
    return pick_weighted(torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf), generator)


def pick_weighted(log_weights: Tensor, generator: torch.Generator) -> Tensor:
    """One place of each row with probability in proportion to e^x (Gumbel's trick): [A, B] -> LongTensor [A]."""
    uniform = torch.rand(log_weights.shape, generator=generator, dtype=torch.float64).clamp_min(1e-300)
    gumbel = -(-uniform.log()).log()
    return (log_weights + gumbel.to(log_weights, non_blocking=True)).argmax(dim=1)


def mine_random(positives: Tensor, negatives: Tensor, generator: torch.Generator) -> Triplets:
    """At most B of all triplets, each at most once: two bool [B, B]."""
    anchor, positive = positives.nonzero(as_tuple=True)
    ends = negatives.sum(dim=1)[anchor].cumsum(dim=0)
    total = int(ends[-1]) if len(ends) else 0
    drawn = torch.randperm(total, generator=generator)[: len(positives)].to(positives.device)
    pair = torch.searchsorted(ends, drawn, right=True)
    place = drawn - (ends - negatives.sum(dim=1)[anchor])[pair]
    by_row = negatives.byte().argsort(dim=1, descending=True, stable=True)
    return Triplets(anchor[pair], positive[pair], by_row[anchor[pair], place])


def mine_semihard(
    anchors: Tensor, distance: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator, margin: float
) -> Triplets:
    """A random positive, and a negative farther than it by less than the margin where there is one."""
    positive = pick(positives, generator)
    own = distance.gather(1, positive[:, None])
    return Triplets(anchors, positive,
                    pick(prefer(negatives & (distance > own) & (distance < own + margin), negatives), generator))


def mine_softhard(
    anchors: Tensor, distance: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
) -> Triplets:
    """A negative nearer than the farthest positive, a positive farther than the nearest negative, where there are."""
    farthest = distance.masked_fill(~positives, -torch.inf).amax(dim=1, keepdim=True)
    nearest = distance.masked_fill(~negatives, torch.inf).amin(dim=1, keepdim=True)
    return Triplets(anchors, pick(prefer(positives & (distance > nearest), positives), generator),
                    pick(prefer(negatives & (distance < farthest), negatives), generator))


def prefer(wanted: Tensor, otherwise: Tensor) -> Tensor:
    """The wanted places of each row, or all of `otherwise` where none is: two bool [A, B] -> bool [A, B]."""
    return torch.where(wanted.any(dim=1, keepdim=True), wanted, otherwise)


def inverse_density(distance: Tensor, dim: int, cutoff: float) -> Tensor:
    """log of 1 / q(d), q how often unit vectors of width `dim` lie at that distance (arXiv 1706.07567): [A, B] -> same.

    Distances count from `cutoff` on; beyond the sphere's diameter of 2 the density stays what it is just below it.
    """
    distance = distance.clamp_min(cutoff)
    return (2 - dim) * distance.log() - (dim - 3) / 2 * (1 - distance**2 / 4).clamp_min(1e-8).log()


def swap_some(triplets: Triplets, positives: Tensor, generator: torch.Generator, share: float) -> Triplets:
    """A share of the triplets becomes (a, a, another of a's class), which pushes a class apart (arXiv 2002.08473)."""
    swapped = torch.rand(len(triplets), generator=generator).to(positives.device) < share
    return Triplets(triplets.anchor, torch.where(swapped, triplets.anchor, triplets.positive),
                    torch.where(swapped, pick(positives, generator), triplets.negative))
