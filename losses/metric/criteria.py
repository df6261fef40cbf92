"""Metric losses by the names that their users know."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from losses.metric.batch_criteria import Angular, Histogram, Lifted, MultiSimilarity, NPair, SmoothAP
from losses.metric.criterion import Criterion
from losses.metric.mining import MinerOptions, mine, refuse_miner
from losses.metric.options import resolve_criterion
from losses.metric.proxy_criteria import ArcFace, ProxyAnchor, ProxyNCA, Softmax, SoftTriple
from losses.metric.triplet_criteria import Contrastive, Margin, Quadruplet, SignalToNoise, Triplet
from losses.relational import in_single

# Of pytorch-metric-learning's losses by these names only ProxyAnchor's values are the published code's: SoftTriple's
# penalty, ArcFace's clamp, the mean of multi-similarity and the classes that Smooth-AP takes are others.
CRITERIA: dict[str, type[Criterion]] = {
    "contrastive": Contrastive, "triplet": Triplet, "margin": Margin, "quadruplet": Quadruplet, "snr": SignalToNoise,
    "multisimilarity": MultiSimilarity, "npair": NPair, "angular": Angular, "lifted": Lifted, "histogram": Histogram,
    "smooth-ap": SmoothAP, "proxynca": ProxyNCA, "proxyanchor": ProxyAnchor, "softmax": Softmax, "arcface": ArcFace,
    "softtriplet": SoftTriple}


def build_criterion(name: str, *, classes: int, dim: int, **options: float) -> Criterion:
    """The loss of that name for `classes` classes and rows of `dim` numbers, with the options of its class.

    Raises ValueError for a name that is not there, with the reason, and for an option that it does not have.
    """
    name = resolve_criterion(name)
    takes = inspect.signature(CRITERIA[name]).parameters
    unknown = [option for option in options if option not in takes or option in ("classes", "dim")]
    if unknown:
        known = [option for option in takes if option not in ("classes", "dim")]
        raise ValueError(f"the loss {name} has no {', '.join(unknown)}; it has {', '.join(known) or 'no options'}")
    sizes = {size: value for size, value in (("classes", classes), ("dim", dim)) if size in takes}
    return CRITERIA[name](**sizes, **options)


def choose_miner(criterion: Criterion, name: str | None) -> str | None:
    """The miner that a loss is used with: the named one, its default for None, and None where it needs no miner.

    Raises ValueError when there is no such miner or the loss cannot use it.
    """
    if name is not None:
        refuse_miner(name)
    if not criterion.miners:
        return None
    if name is not None and name not in criterion.miners:
        loss = type(criterion).__name__
        raise ValueError(f"the loss {loss} cannot use the miner {name}; it takes {', '.join(criterion.miners)}")
    return name or criterion.miners[0]


def apply_criterion(
    criterion: Criterion, miner: str | None, embeddings: Tensor, labels: Tensor, generator: torch.Generator,
    options: MinerOptions = MinerOptions(),
) -> Tensor:
    """Mine where the loss needs it, and the loss, at least float32 under autocast too: [B, D], [B] -> scalar."""
    with torch.autocast(embeddings.device.type, enabled=False):
        embeddings = in_single(embeddings)
        mined = mine(miner, embeddings.detach(), labels, generator, options) if miner is not None else None
        return criterion(embeddings, labels, mined, generator)
