"""LARS (arXiv 1708.03888): each weight's step has a length in proportion to the weight's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

TRUST = 1e-3


# timm's Lars adds 1e-8 to what it divides by, ties the ratio to the decay, and has no joint one.
class Lars(torch.optim.Optimizer):
    """SGD with momentum whose adapted groups (`"adapt": True`) multiply every weight's gradient with a trust ratio.

    With gradient g, weight w and its decay d the step follows r (g + d w), r = 1e-3 |w| / (|g| + d |w|) as the paper
    has it, or with `joint` r = 1e-3 |w| / |g + d w|, the public code's of LCR. A ratio without a length above 0 to
    divide, or to divide by, is 1. No group's ratio depends on whether it decays. Other groups are plain SGD.
    """

    def __init__(
        self, groups: Iterable[dict[str, object]], *, lr: float, momentum: float = 0.9, joint: bool = False
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "adapt": True})
        self.joint = joint

    def __setstate__(self, state: dict[str, object]) -> None:
        """Also takes groups that timm's Lars wrote, which adapted those with decay."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("adapt", group["weight_decay"] != 0)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of every weight that has a gradient, which is left as it is; `closure` computes the loss anew."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                torch._foreach_add_(weights, self.remember(weights, self.direct(weights, group), group["momentum"]),
                                    alpha=-group["lr"])
        return loss

    def direct(self, weights: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """The decayed gradients of a group's weights, times their trust ratios where it adapts."""
        slopes = [weight.grad for weight in weights if weight.grad is not None]
        decay: float = group["weight_decay"]
        changes = list(torch._foreach_add(slopes, weights, alpha=decay))
        if not group["adapt"]:
            return changes
        lengths = torch._foreach_norm(weights)
        if self.joint:
            below = torch._foreach_norm(changes)
        else:
            below = torch._foreach_add(torch._foreach_norm(slopes), lengths, alpha=decay)
        ratios = [trust(*pair) for pair in zip(lengths, below, strict=True)]
        return list(torch._foreach_mul(changes, ratios))

    def remember(self, weights: list[Tensor], changes: list[Tensor], momentum: float) -> list[Tensor]:
        """The velocities that these changes lead to; without momentum the changes themselves."""
        if momentum == 0:
            return changes
        kept = [self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight)) for weight in weights]
        torch._foreach_mul_(kept, momentum)
        torch._foreach_add_(kept, changes)
        return kept


def trust(length: Tensor, below: Tensor) -> Tensor:
    """The ratio of a weight of that length, 1 where one of the two is 0: scalars -> scalar, on their own device."""
    return torch.where((length > 0) & (below > 0), TRUST * length / below, 1.0)
