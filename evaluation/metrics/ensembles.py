"""The plug-in module's ensembles: `highest-x` adds up the x most confident of an image's global branches.

(Chou et al., arXiv 2202.03822.) Global branches see the whole image: the levels (layer1, layer2, ...) and the combiner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Order = Literal["descending", "ascending"]


def find_global(names: Mapping[str, object]) -> list[str]:
    """Names of the global branches: levels from shallow to deep, then the combiner."""
    levels = sorted((name for name in names if re.fullmatch(r"layer\d+", name)), key=lambda name: int(name[5:]))
    return levels + ["combiner"] * ("combiner" in names)


def ensemble(logits: Mapping[str, Tensor], order: Order = "descending") -> dict[str, Tensor]:
    """Logits [N, K] of N branches -> "highest-1", ..., "highest-N": probabilities [N, K], the mean of the x chosen.

    Each image's branches are sorted by the probability of their best class. "ascending" is the public code's order,
    in which highest-1 is the least confident branch; highest-N holds all branches and is the same in both, bit by bit.
    Of equally confident branches the shallower comes first. No branch at all gives {}.
    """
    if not logits:
        return {}
    shares = torch.stack([values.float().softmax(dim=-1) for values in logits.values()])
    confidence = shares.amax(dim=-1)
    ranked = confidence.argsort(dim=0, descending=order == "descending", stable=True)
    chosen = shares.gather(0, ranked[..., None].expand_as(shares)).cumsum(dim=0)
    chosen[-1] = shares.sum(dim=0)  # the same order of addition whatever the ranking
    return {f"highest-{count}": total / count for count, total in enumerate(chosen, start=1)}
