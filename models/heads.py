"""Heads that turn a pooled feature into the space where losses compare."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ProjectionHead(nn.Sequential):
    """MoCo v2's MLP, Linear - ReLU - Linear: [B, in] -> [B, out]. Its tensors are `0.*` and `2.*`, as in MoCo files."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int) -> None:
        super().__init__(
            nn.Linear(in_features, hidden_features), nn.ReLU(inplace=True), nn.Linear(hidden_features, out_features)
        )

    @property
    def widths(self) -> list[int]:
        """[in, hidden, out]: what rebuilds this head."""
        first, second = self.layers
        return [first.in_features, first.out_features, second.out_features]

    @property
    def layers(self) -> tuple[nn.Linear, nn.Linear]:
        """The two linear layers."""
        first, _, second = self
        assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
        return first, second

    @torch.no_grad()
    def fit(self, features: Tensor, targets: Tensor, *, ridge: float, seed: int = 0) -> None:
        """Set the weights in closed form, so that the head maps features [N, in] to targets [N, out] at once.

        The first layer becomes an orthogonal map of the centred features, scaled to a mean length of 1; the second one
        the ridge regression from what passes the ReLU (an extreme learning machine: Huang et al., 2006). `ridge` is the
        penalty in units of one row's squared length.
        """
        one, two = self.layers
        mean = features.double().mean(0)
        scale = (features.double() - mean).norm(dim=1).mean().clamp_min(1e-12)
        generator = torch.Generator().manual_seed(seed)
        spread = nn.init.orthogonal_(torch.empty(one.weight.shape), generator=generator).double()
        first = 2**0.5 * spread.to(mean.device) / scale
        one.weight.copy_(first)
        one.bias.copy_(-first @ mean)
        hidden = self[1](one(features.float())).double()
        centre, goal = hidden.mean(0), targets.double().mean(0)
        gram = (hidden - centre).T @ (hidden - centre)
        gram.diagonal().add_(ridge)
        solved = torch.linalg.solve(gram, (hidden - centre).T @ (targets.double() - goal)).T
        two.weight.copy_(solved)
        two.bias.copy_(goal - solved @ centre)


class BatchNormHead(nn.Sequential):
    """BYOL's projector and predictor, Linear - BN - ReLU - Linear (arXiv 2006.07733): [B, in] -> [B, out]."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int) -> None:
        super().__init__(
            nn.Linear(in_features, hidden_features),
            nn.BatchNorm1d(hidden_features),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_features, out_features),
        )


class LinearHead(nn.Linear):
    """MoCo v1's head, one linear layer: [B, in] -> [B, out]."""

    @property
    def widths(self) -> list[int]:
        """[in, out]: what rebuilds this head."""
        return [self.in_features, self.out_features]


def build_head(widths: list[int]) -> ProjectionHead | LinearHead:
    """The head with these widths: three make an MLP, two a linear layer."""
    if len(widths) == 3:
        return ProjectionHead(*widths)
    given, wanted = widths
    return LinearHead(given, wanted)
