"""How often single positions of a plug-in module name an image's class: `select_layer1`, `drop_layer1`, ...

The public code counts them by position, as if each were an image (Chou et al., arXiv 2202.03822).
"""

from __future__ import annotations

import torch
from torch import Tensor

from evaluation.metrics.classification import find_ranks
from models.plug_in.module import PimAnswer, PlugIn
from models.plug_in.parts import take_positions

DEPTHS = (1, 3)
MARK = "positions/"  # what begins the names of these numbers among logits


def answer_by_position(network: PlugIn, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Logits [B, K] by branch, and under `MARK` + "select_layer1", "drop_layer1", ... shares of positions [B, 2].

    Columns are top-1 and top-3. An image without a label (-1) has zeros.
    """
    answer = network(images)
    return network.average(answer) | {MARK + name: shares for name, shares in score_positions(answer, labels).items()}


def score_positions(answer: PimAnswer, labels: Tensor) -> dict[str, Tensor]:
    """Shares of kept and of dropped positions [B, 2] whose first, or first three, classes hold the image's own."""
    kept, dropped = {}, {}
    for name, chosen in answer.selections.items():
        logits = answer.levels[name].float()
        hits = _find_hits(logits, labels)
        picked = take_positions(hits, chosen.kept)
        kept[f"select_{name}"] = picked.mean(dim=1)
        dropped[f"drop_{name}"] = (hits.sum(dim=1) - picked.sum(dim=1)) / (hits.shape[1] - picked.shape[1])
    return kept | dropped


def _find_hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits [B, S, K], labels [B] -> 1 or 0 for each of `DEPTHS`, float32 [B, S, 2]."""
    everywhere = labels.clamp(min=0)[:, None].expand(logits.shape[:2]).flatten()
    ranks = find_ranks(logits.flatten(0, 1), everywhere).unflatten(0, logits.shape[:2])
    hits = torch.stack([(ranks < depth).float() for depth in DEPTHS], dim=2)
    return hits * (labels >= 0)[:, None, None]
