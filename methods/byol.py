"""BYOL (arXiv 2006.07733): predict the target network's projection of another view; no negatives, no queue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasets.loader import Batch
from datasets.views.recipes import View
from methods.method import Clock, LossParts, Method, ParamGroup, split_groups
from models.attention import RationaleBranch
from models.backbones import Backbone, freeze_batch_norm
from models.encoder import Encoded, Encoder
from models.heads import BatchNormHead
from models.momentum import frozen_copy, update_momentum


@dataclass(frozen=True, kw_only=True)
class ByolOptions:
    """What BYOL lets its user choose.

    `dim` and `hidden` widths of projector and predictor; `momentum` of the target, which rises to 1 along a cosine
    where `momentum_schedule` says so; `source`, `size` of the two views, the rest as in ContrastOptions.
    """

    dim: int = 256
    hidden: int = 4096
    size: int = 224
    source: Literal["full", "crop"] = "full"
    momentum: float = 0.996
    momentum_schedule: Literal["constant", "cosine"] = "constant"
    backbone_lr_scale: float = 1.0
    head_warmup_epochs: int = 0
    frozen_bn: bool = False


@dataclass(frozen=True)
class Projected:
    """An encoding and its projection [B, D], not normalised."""

    encoded: Encoded
    projection: Tensor


class Projector(nn.Module):
    """An encoder with BYOL's projector on its pooled feature."""

    def __init__(self, encoder: Encoder, head: BatchNormHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, images: Tensor, *, attend: bool = True) -> Projected:
        """Images [B, 3, H, W], uint8; `attend` False leaves a rationale branch alone."""
        encoded = self.encoder(images, attend=attend)
        return Projected(encoded, self.head(encoded.pooled))


class Byol(Method):
    """BYOL with asymmetric views, a symmetric loss, and batch statistics of each view apart.

    The target moves after the optimiser's step, parameters only: it runs in train mode and has its own statistics.
    A rationale branch sees the first view; what it learns is up to a subclass.
    """

    loss_terms: tuple[str, ...] = ("loss1", "loss2")

    def __init__(self, backbone: Backbone, options: ByolOptions, *, branch: RationaleBranch | None = None) -> None:
        super().__init__()
        self.options = options
        if options.frozen_bn:
            freeze_batch_norm(backbone)
        head = BatchNormHead(backbone.num_features, options.hidden, options.dim)
        self.online = Projector(Encoder(backbone, None, branch), head)
        self.predictor = BatchNormHead(options.dim, options.hidden, options.dim)
        self.target = frozen_copy(Projector(Encoder(backbone), head))

    def views(self) -> dict[str, View]:
        """v1 is always blurred, v2 seldom but sometimes solarised."""
        options = self.options
        return {f"v{number}": View(options.source, f"byol{number}", options.size) for number in (1, 2)}

    def encoder(self) -> Encoder:
        """The online encoder, without projector and predictor."""
        return self.online.encoder

    def param_groups(self) -> list[ParamGroup]:
        """The backbone, slower or later if asked, and everything else that learns."""
        options = self.options
        return split_groups(self, self.encoder().backbone, options.backbone_lr_scale, options.head_warmup_epochs)

    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        """`loss1` = -cos(prediction of v1, target of v2), `loss2` the other way round, means; total is their mean."""
        first, second = self.online(batch.views["v1"]), self.online(batch.views["v2"], attend=False)
        guesses = [self.predictor(view.projection) for view in (first, second)]
        with torch.no_grad():
            answers = [self.target(batch.views[name]).projection for name in ("v2", "v1")]
        with torch.autocast(batch.index.device.type, enabled=False):
            losses = [-F.cosine_similarity(guess.float(), answer.float(), dim=1)
                      for guess, answer in zip(guesses, answers, strict=True)]
            return self.combine(first.encoded, *losses)

    def combine(self, view: Encoded, loss1: Tensor, loss2: Tensor) -> LossParts:
        """The step's loss from the first view's encoding and both losses [B]; where a subclass adds to it."""
        parts = {"loss1": loss1.mean(), "loss2": loss2.mean()}
        return LossParts((parts["loss1"] + parts["loss2"]) / 2, parts)

    def after_step(self, clock: Clock) -> None:
        """Move the target."""
        update_momentum(self.online, self.target, self.momentum(clock))

    def momentum(self, clock: Clock) -> float:
        """The share of itself that the target keeps in this step."""
        start = self.options.momentum
        if self.options.momentum_schedule == "constant":
            return start
        return 1 - (1 - start) * (1 + math.cos(math.pi * clock.progress)) / 2
