"""Two features of a picture side by side: the backbone's, which tells pictures apart, and the head's, which groups.

A head that a teacher taught gathers kinds and loses detail; the average below it keeps detail and gathers less. Side by
side, each of length 1 and weighted, they have both: cosines of the joint feature are weighted means of the two cosines.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class JointFeature(nn.Module):
    """Backbone average [B, C] and head embedding [B, H] -> unit rows [B, D + H].

    `mean` [C] and `components` [D, C] centre the average and even its directions out (`fit_space`), `head_mean` [H]
    centres the embedding, `share` [] in [0, 1] is the head's share of a cosine. All of them are measured, none learned.
    """

    mean: Tensor
    components: Tensor
    head_mean: Tensor
    share: Tensor

    def __init__(self, width: int, dim: int, head_width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("components", torch.eye(dim, width))
        self.register_buffer("head_mean", torch.zeros(head_width))
        self.register_buffer("share", torch.tensor(0.5))

    @property
    def widths(self) -> list[int]:
        """[C, D, H]: what rebuilds it."""
        return [self.components.shape[1], self.components.shape[0], self.head_mean.shape[0]]

    def fill(self, mean: Tensor, components: Tensor, head_mean: Tensor, share: float) -> None:
        """Set what was measured; the shapes are those of `widths`."""
        for own, value in zip((self.mean, self.components, self.head_mean), (mean, components, head_mean), strict=True):
            own.copy_(value)
        self.share.fill_(share)

    def forward(self, pooled: Tensor, head: Tensor | None) -> Tensor:
        """Unit rows; of a share of 0 the head has no columns, or zeros."""
        detail = F.normalize((pooled.float() - self.mean) @ self.components.T, dim=1)
        if head is None or not len(self.head_mean):
            return detail
        kind = F.normalize(head.float() - self.head_mean, dim=1)
        return torch.cat([(1 - self.share).sqrt() * detail, self.share.sqrt() * kind], dim=1)
