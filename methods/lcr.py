"""LCR: learning common rationale (arXiv 2303.01669), on MoCo v2 and on BYOL.

The self-supervised loss is left as it is; a small branch learns where on the map that loss looks, and evaluation
averages the map by it. docs/lcr.md has the formulas, and which switch brings back each fact of the public code.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from methods.byol import Byol, ByolOptions
from methods.method import LossParts
from methods.moco import Contrast, Moco, MocoOptions
from methods.rationale import Rationale, RationaleOptions, fit_rationale
from models.backbones import Backbone
from models.encoder import Encoded


class LcrMoco(Moco):
    """MoCo v2 whose query map teaches a rationale branch; `cam` is its term before the weight."""

    loss_terms: tuple[str, ...] = (*Moco.loss_terms, "cam")

    def __init__(
        self, backbone: Backbone, options: MocoOptions, rationale: RationaleOptions, *, seed: int = 0
    ) -> None:
        super().__init__(backbone, options, seed=seed, branch=rationale.make_branch(backbone.num_features))
        self.rationale = rationale
        self.couples_batch = rationale.couples_batch

    def combine(self, query: Encoded, key: Encoded, term: Contrast) -> LossParts:
        """InfoNCE plus the rationale of the query view."""
        rationale = fit_rationale(query, term.loss, self.rationale, "rows")
        if self.rationale.sums_up:
            self.count_statistics(key, query)
        return add_rationale_term(super().combine(query, key, term), rationale)

    @torch.no_grad()
    def count_statistics(self, *seen: Encoded) -> None:
        """The public code's branch meets the key's map and the query's again: only running statistics follow."""
        assert self.query.attention is not None  # made in the constructor
        for view in seen:
            self.query.attention(view.map)


class LcrByol(Byol):
    """BYOL whose first online map teaches a rationale branch; `cam` is its term before the weight."""

    loss_terms: tuple[str, ...] = (*Byol.loss_terms, "cam")

    def __init__(self, backbone: Backbone, options: ByolOptions, rationale: RationaleOptions) -> None:
        super().__init__(backbone, options, branch=rationale.make_branch(backbone.num_features))
        self.rationale = rationale
        self.couples_batch = rationale.couples_batch

    def combine(self, view: Encoded, loss1: Tensor, loss2: Tensor) -> LossParts:
        """BYOL's loss plus the rationale of the first view, which only `loss1` depends on."""
        return add_rationale_term(super().combine(view, loss1, loss2),
                                  fit_rationale(view, loss1 / 2, self.rationale, "positions"))


def add_rationale_term(loss: LossParts, rationale: Rationale) -> LossParts:
    """The step's loss with the weighted CAM term in its total."""
    return replace(loss, total=loss.total + rationale.weight * rationale.term,
                   parts=loss.parts | {"cam": rationale.term}, stats=loss.stats | rationale.stats)
