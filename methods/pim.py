"""PIM: a label asked for at many positions of many levels, and a graph over the most certain (arXiv 2202.03822)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.loader import Batch
from losses.pim import average_positions, dropped_loss, selected_loss
from methods.method import Clock, LossParts
from methods.supervised import Mixed, Supervised, Supervision, accuracies
from models.plug_in.module import PimAnswer, PlugIn
from models.plug_in.parts import take_positions


@dataclass(frozen=True, kw_only=True)
class PimOptions:
    """Weights of the terms, under the names of the public code's settings.

    `lambda_b` each level's mean prediction, `lambda_s` kept positions (with a combiner it made training unstable),
    `lambda_n` dropped positions, `lambda_c` the combiner.
    """

    lambda_b: float = 0.5
    lambda_s: float = 0.0
    lambda_n: float = 5.0
    lambda_c: float = 1.0


class Pim(Supervised):
    """A plug-in module and its labels. Terms that a level has are summed over levels.

    Parts: "layer", "dropped" and, where there are such, "combiner" and "selected" (unless its weight is 0: it takes
    time). Statistics are accuracies by branch.
    """

    loss_terms: tuple[str, ...] = ("layer", "dropped", "selected", "combiner")
    network: PlugIn

    def __init__(self, network: PlugIn, options: Supervision, terms: PimOptions = PimOptions()) -> None:
        super().__init__(network, options)
        self.terms = terms

    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        """The weighted sum of all terms."""
        mixed = self.mix(batch, clock)
        answer = self.network(mixed.images)
        branches = {name: average_positions(logits) for name, logits in answer.levels.items()}
        parts = {"layer": _add(self.base_loss(logits, mixed) for logits in branches.values())}
        if answer.combiner is not None:
            branches["combiner"] = answer.combiner.float()
            parts["combiner"] = self.base_loss(branches["combiner"], mixed)
        parts |= self.look_at_positions(answer, mixed)
        return LossParts(self.weigh(parts), parts, accuracies(branches, mixed.labels))

    def look_at_positions(self, answer: PimAnswer, mixed: Mixed) -> dict[str, Tensor]:
        """The terms of kept and dropped positions; none without a selector."""
        if not answer.selections:
            return {}
        pairs = [(answer.levels[name], selection) for name, selection in answer.selections.items()]
        parts = {"dropped": _add(dropped_loss(logits, chosen.dropped).mean() for logits, chosen in pairs)}
        if self.terms.lambda_s:
            target, smoothing = mixed.labels if mixed.soft is None else mixed.soft, self.options.smoothing
            kept = [take_positions(logits, chosen.kept) for logits, chosen in pairs]
            parts["selected"] = _add(selected_loss(logits, target, smoothing).mean() for logits in kept)
        return parts

    def weigh(self, parts: dict[str, Tensor]) -> Tensor:
        """The total of terms by name."""
        terms = self.terms
        weights = {"layer": terms.lambda_b, "dropped": terms.lambda_n, "selected": terms.lambda_s,
                   "combiner": terms.lambda_c}
        return _add(weights[name] * value for name, value in parts.items())


def _add(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()
