"""The gradient budget of a step: which loss term pulls how hard at the feature map, and which pull against each other.

All terms of a loss meet in the backbone's map, from which one gradient flows on; there each term's share of it can be
read for the cost of a backward pass through the heads. The parameters' gradients, and the run, are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from engine.gradients.balance import Balance, Balanced
from methods.method import LossParts, Method
from models.classifiers.classifier import Classifier
from models.encoder import Encoder
from runtime import distributed

SIDES = ("distillation", "contrast")


def find_meeting(method: Method) -> nn.Module | None:
    """The module whose output all terms of the method's loss depend on: the backbone, None where there are several."""
    network = method.encoder()
    if isinstance(network, Encoder):
        return network.backbone
    return network.map if isinstance(network, Classifier) else None


class GradientBudget:
    """Measures every `every` steps (0 = never), and in every step where there is a `balance`.

    A term's gradient is that of the term times its weight in the total, at the maps of all views of the step's whole
    batch: micro-batches and ranks are parts of it. Terms without a gradient there are left out.
    """

    def __init__(self, method: Method, every: int = 0, balance: Balance | None = None) -> None:
        self.method, self.every, self.balance = method, every, balance
        self.meeting = find_meeting(method) if every or balance is not None else None
        self.maps: list[Tensor] = []
        self.names: list[str] = []
        self.products: Tensor | None = None  # [T, T] inner products of the terms' gradients, summed so far
        self.parts = 0  # micro-batches that were seen in this step

    def is_due(self, step: int) -> bool:
        """Whether the step's budget is written down."""
        return self.every > 0 and step % self.every == 0

    @contextmanager
    def watch(self, step: int) -> Iterator[None]:
        """Keep the maps that the networks make meanwhile, if this step is measured."""
        self.maps = []
        if self.meeting is None or not (self.is_due(step) or self.balance is not None):
            yield
            return
        hook = self.meeting.register_forward_hook(self._keep)
        try:
            yield
        finally:
            hook.remove()

    def _keep(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            self.maps.append(output)

    def weigh(self, loss: LossParts, scale: float = 1.0) -> LossParts:
        """The loss as it is learnt from: with the balance's factor; measured on the way where `watch` kept maps.

        `scale` keeps float16 gradients above that format's smallest numbers.
        """
        if not self.maps and self.balance is None:
            return loss
        weights = read_weights(loss)
        if self.maps:
            self._measure(loss, weights, scale)
        return loss if self.balance is None else self._balance(loss, weights, self.balance.factor)

    def _measure(self, loss: LossParts, weights: dict[str, Tensor], scale: float) -> None:
        rows = torch.stack([flatten_gradient(loss.parts[name], self.maps, scale * weight) / scale
                            for name, weight in weights.items()])
        products = (rows @ rows.T).double()
        self.names, self.maps = list(weights), []
        self.products = products if self.products is None else self.products + products
        self.parts += 1

    def _balance(self, loss: LossParts, weights: dict[str, Tensor], factor: float) -> LossParts:
        more = sum((factor - 1) * weights[name] * loss.parts[name] for name in self.list_side(SIDES[0], weights))
        stats = loss.stats | {"balance": torch.tensor(factor)}
        return replace(loss, total=loss.total + more, stats=stats)

    def state_dict(self) -> Balanced:
        """What the balance has seen, {} without one."""
        return {} if self.balance is None else self.balance.state_dict()

    def load_state_dict(self, state: Balanced) -> None:
        """Take it back."""
        if self.balance is not None and state:
            self.balance.load_state_dict(state)

    def list_side(self, side: str, names: Sequence[str] | dict[str, Tensor]) -> list[str]:
        """Those of the terms that belong to a side."""
        return [name for name in names if name in self.method.sides.get(side, ())]

    def finish(self) -> dict[str, float]:
        """The numbers of a step that was measured, {} of any other; the balance learns them.

        `norm_<term>`, `norm_total` that of all together, `cosine_<one>_<other>` of terms that meet in a view, and for a
        method with sides `norm_distillation`, `norm_contrast`, their cosine and the `ratio` of the two.
        """
        if self.products is None:
            return {}
        share = self.parts * distributed.world()  # a micro-batch's mean is so much less of the step's
        products = distributed.mean(self.products).cpu() * distributed.world() / share**2
        names, self.products, self.parts = self.names, None, 0
        sides = torch.tensor([[float(name in self.list_side(side, names)) for name in names] for side in SIDES],
                             dtype=torch.float64)
        if self.balance is not None:
            factor = self.balance.factor
            self.balance.observe(*(sides @ products @ sides.T).diagonal().clamp_min(0).sqrt().tolist())
            scale = 1 + (factor - 1) * sides[0]
            products = scale[:, None] * products * scale
        return describe_products(names, products) | describe_sides(sides @ products @ sides.T)


def read_weights(loss: LossParts) -> dict[str, Tensor]:
    """The weight of each term in the total, its derivative by the term; terms that it does not use are left out."""
    learnt = {name: part for name, part in loss.parts.items() if part.requires_grad}
    found = torch.autograd.grad(loss.total, list(learnt.values()), retain_graph=True, allow_unused=True)
    return {name: weight.detach() for name, weight in zip(learnt, found) if weight is not None}


def flatten_gradient(term: Tensor, maps: Sequence[Tensor], weight: Tensor) -> Tensor:
    """The gradient of `weight` times a scalar term at maps [B, ...], one after another in a float32 row."""
    found = torch.autograd.grad(term, list(maps), weight.to(term), retain_graph=True, allow_unused=True)
    return torch.cat([torch.zeros_like(seen, dtype=torch.float32).flatten() if one is None else one.float().flatten()
                      for one, seen in zip(found, maps)])


def describe_products(names: Sequence[str], products: Tensor) -> dict[str, float]:
    """Norms and cosines from inner products [T, T]; terms that no view shares have none, rather than one of 0."""
    norms = products.diagonal().clamp_min(0).sqrt().tolist()
    row = {f"norm_{name}": norm for name, norm in zip(names, norms)}
    row["norm_total"] = float(products.sum().clamp_min(0).sqrt())
    for one, first in enumerate(names):
        for other in range(one + 1, len(names)):
            if product := float(products[one, other]):
                row[f"cosine_{first}_{names[other]}"] = product / (norms[one] * norms[other])
    return row


def describe_sides(products: Tensor) -> dict[str, float]:
    """Norms, cosine and ratio of distillation and contrast from their inner products [2, 2]; {} without both."""
    distillation, contrast = products.diagonal().clamp_min(0).sqrt().tolist()
    if not (distillation and contrast):
        return {}
    return {"norm_distillation": distillation, "norm_contrast": contrast, "ratio": distillation / contrast,
            "cosine_distillation_contrast": float(products[0, 1]) / (distillation * contrast)}
