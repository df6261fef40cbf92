"""Supervised recognition: fine-tuning with labels, the ground on which distillation and the plug-in module stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Literal, cast

import numpy as np
import torch
from timm.data import Mixup
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from datasets.loader import Batch, per_view_seed
from datasets.views.recipes import View
from methods.method import Clock, LossParts, Method, ParamGroup
from models.backbones import freeze_batch_norm
from models.classifiers.layer_decay import decay_groups
from models.network import ClassNetwork
from runtime.distributed import rank


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """What the user chooses, whatever the network.

    `classes` labels, `view` of the training images, label `smoothing`; `mixup` and `cutmix` are the alphas of their
    Beta distributions (0: not at all; arXiv 1710.09412, 1905.04899), `cutmix_minmax` bounds of the pasted side as a
    share of the image, `mixup_prob` how often images are mixed, `mixup_switch_prob` how often by CutMix where both are
    on, `mixup_mode` what shares a draw. `layer_decay` below 1 slows the layers far from the head, `backbone_lr_scale`
    all but the heads. `ema_decay`, unless None, keeps a moving average of the network, `ema_warmup` a faster one at
    first. `frozen_bn` keeps batch statistics; `no_weight_decay_on_vectors` spares vectors, biases, tokens, positions.
    """

    classes: int
    view: View
    smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    cutmix_minmax: tuple[float, float] | None = None
    mixup_prob: float = 1.0
    mixup_switch_prob: float = 0.5
    mixup_mode: Literal["batch", "pair", "elem"] = "batch"
    layer_decay: float = 1.0
    backbone_lr_scale: float = 1.0
    ema_decay: float | None = None
    ema_warmup: bool = False
    frozen_bn: bool = False
    no_weight_decay_on_vectors: bool = True
    seed: int = 0

    @property
    def mixes(self) -> bool:
        """True when images are mixed; batches must be even then."""
        return self.mixup > 0 or self.cutmix > 0 or self.cutmix_minmax is not None


@dataclass(frozen=True)
class Mixed:
    """What the network sees: `images` [B, 3, H, W], uint8 or, mixed, float 0..1; `labels` LongTensor [B].

    `soft` are the mixed and smoothed labels, float32 [B, K], or None where nothing was mixed; `labels` is then the
    heavier class.
    """

    images: Tensor
    labels: Tensor
    soft: Tensor | None = None


class Supervised(Method):
    """A network with class heads and its labels; every head learns from them.

    `network` has a timm network as `backbone`, `forward(images)` -> logits by branch, and `outputs`. Parts are the
    losses by branch; statistics are `accuracy` by branch on what was seen in training.
    """

    loss_terms: tuple[str, ...] = ("cls", "dist")

    def __init__(self, network: ClassNetwork, options: Supervision) -> None:
        super().__init__()
        self.options, self.network = options, network
        if options.frozen_bn:
            freeze_batch_norm(network.backbone)
        self.ema = None if options.ema_decay is None else _average(network, options.ema_decay, options.ema_warmup)
        self.mixup = _mixup(options) if options.mixes else None
        self.soft_loss = SoftTargetCrossEntropy()
        self.hard_loss = LabelSmoothingCrossEntropy(options.smoothing) if options.smoothing else nn.CrossEntropyLoss()
        self.forwards = 0  # of this optimiser step, so that no two micro-batches share a draw

    @property
    def averaged(self) -> ClassNetwork | None:
        """The moving average of the network, in eval mode, or None."""
        return None if self.ema is None else cast(ClassNetwork, self.ema.module)  # a copy of `network`

    def train(self, mode: bool = True) -> Supervised:
        """Like every module's, but the average stays in eval mode."""
        super().train(mode)
        if self.ema is not None:
            self.ema.eval()
        return self

    def views(self) -> dict[str, View]:
        """The one training view."""
        return {"v": self.options.view}

    def encoder(self) -> ClassNetwork:
        """The network."""
        return self.network

    def param_groups(self) -> list[ParamGroup]:
        """The network by layers, vectors without weight decay."""
        options = self.options
        groups = decay_groups(self.network, layer_decay=options.layer_decay,
                              backbone_lr_scale=options.backbone_lr_scale,
                              spare_vectors=options.no_weight_decay_on_vectors)
        return [ParamGroup(group.params, lr_scale=group.lr_scale, weight_decay=None if group.decays else 0.0)
                for group in groups]

    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        """The mean over heads of each one's loss."""
        mixed = self.mix(batch, clock)
        logits = self.network(mixed.images)
        losses = {name: self.base_loss(value, mixed) for name, value in logits.items()}
        return LossParts(torch.stack(list(losses.values())).mean(), losses, accuracies(logits, mixed.labels))

    def mix(self, batch: Batch, clock: Clock) -> Mixed:
        """The batch's view, mixed if asked: a function of seed, step, micro-batch and rank. Raises ValueError."""
        images, labels = batch.views["v"], batch.label
        if self.mixup is None:
            return Mixed(images, labels)
        if len(batch) % 2:
            raise ValueError(f"mixup and cutmix pair the images of a batch, and {len(batch)} is odd")
        draw = per_view_seed(self.options.seed, clock.step, self.forwards, rank(), "mixup")
        self.forwards += 1
        images = images.float() / (255 if images.dtype == torch.uint8 else 1)
        with _numpy_seed(draw):
            images, soft = self.mixup(images, labels)
        return Mixed(images, soft.argmax(1), soft)

    def base_loss(self, logits: Tensor, mixed: Mixed) -> Tensor:
        """Cross-entropy with the mixed, smoothed or plain labels: [B, K] -> float32 scalar."""
        if mixed.soft is not None:
            return self.soft_loss(logits.float(), mixed.soft)
        return self.hard_loss(logits.float(), mixed.labels)

    def after_step(self, clock: Clock) -> None:
        """Move the average."""
        if self.ema is not None:
            self.ema.update(self.network, step=clock.step + 1 if self.options.ema_warmup else None)
        self.clear_pending()

    def clear_pending(self) -> None:
        """The next forward is the first of a step."""
        self.forwards = 0


def accuracies(logits: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """Share of images whose largest logit is the label's: "accuracy" of the mean over branches, "accuracy_<branch>"."""
    hits = {name: share_of_hits(value, labels) for name, value in logits.items()}
    if len(hits) == 1:
        return {"accuracy": next(iter(hits.values()))}
    together = share_of_hits(reduce(torch.add, (value.detach().float() for value in logits.values())), labels)
    return {"accuracy": together, **{f"accuracy_{name}": value for name, value in hits.items()}}


def share_of_hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of rows [B, K] whose largest number is at `labels` [B]; a float32 scalar without gradient."""
    return (logits.detach().argmax(1) == labels).float().mean()


def _average(network: nn.Module, decay: float, warmup: bool) -> ModelEmaV3:
    return ModelEmaV3(network, decay=decay, use_warmup=warmup).requires_grad_(False)


def _mixup(options: Supervision) -> Mixup:
    return Mixup(options.mixup, options.cutmix, options.cutmix_minmax, options.mixup_prob, options.mixup_switch_prob,
                 options.mixup_mode, label_smoothing=options.smoothing, num_classes=options.classes)


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """timm's mixing draws from NumPy's global generator: seed it, and leave it as it was found."""
    before = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(before)
