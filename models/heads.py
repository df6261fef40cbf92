"""Heads that turn a pooled feature into the space where losses compare."""

from __future__ import annotations

from torch import nn


class ProjectionHead(nn.Sequential):
    """MoCo v2's MLP, Linear - ReLU - Linear: [B, in] -> [B, out]. Its tensors are `0.*` and `2.*`, as in MoCo files."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int) -> None:
        super().__init__(
            nn.Linear(in_features, hidden_features), nn.ReLU(inplace=True), nn.Linear(hidden_features, out_features)
        )

    @property
    def widths(self) -> list[int]:
        """[in, hidden, out]: what rebuilds this head."""
        return [self[0].in_features, self[0].out_features, self[2].out_features]


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
    return ProjectionHead(*widths) if len(widths) == 3 else LinearHead(*widths)
