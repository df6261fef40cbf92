"""MoCo v2 (arXiv 2003.04297), and what every method with a momentum encoder and queues shares with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from datasets.loader import Batch, per_view_seed
from datasets.views.recipes import View
from losses.contrastive import contrast_logits, info_nce_from_logits, own_image_mask, self_mass
from methods.method import Clock, LossParts, Method, ParamGroup, split_groups
from models.attention import RationaleBranch
from models.backbones import Backbone, freeze_batch_norm
from models.encoder import Encoded, Encoder
from models.heads import LinearHead, ProjectionHead
from models.momentum import frozen_copy, update_momentum
from models.queue import KeyQueue
from runtime.distributed import gather, rank, world


@dataclass(frozen=True, kw_only=True)
class ContrastOptions:
    """What a method with a momentum encoder and queues lets its user choose.

    `dim` of the head's unit vectors, `size` and `view_recipe` of the views; `queue_mask` "self" leaves keys of the
    sample's own image out of its negatives; `shuffle_keys` mixes the key batch across ranks (MoCo's ShuffleBN);
    `head_warmup_epochs` epochs in which the backbone's learning rate is 0; `frozen_bn` keeps the backbone's batch
    statistics, of the key encoder too.
    """

    dim: int = 128
    size: int = 224
    view_recipe: str = "mocov2"
    queue_size: int = 65536
    momentum: float = 0.999
    temperature: float = 0.2
    queue_mask: Literal["self", "none"] = "self"
    shuffle_keys: bool = False
    backbone_lr_scale: float = 1.0
    head_warmup_epochs: int = 0
    frozen_bn: bool = False


@dataclass(frozen=True)
class Contrast:
    """One InfoNCE term of each sample, all float32 [B].

    `loss`, `positive` the cosine of query and key, `self_mass` the share of the softmax that own-image keys hold.
    """

    loss: Tensor
    positive: Tensor
    self_mass: Tensor


@dataclass(frozen=True)
class PendingKeys:
    """Keys [B, D] of the images `ids` [B] that wait for the optimiser's step before they enter `queue`."""

    queue: KeyQueue
    keys: Tensor
    ids: Tensor


class MomentumContrast(Method):
    """Query encoder, momentum encoder, and keys that wait for the end of the step. Subclasses say what is contrasted.

    The momentum encoder has no rationale branch.
    """

    def __init__(self, query: Encoder, options: ContrastOptions, *, seed: int) -> None:
        super().__init__()
        self.options, self.seed = options, seed
        self.query = query
        if options.frozen_bn:
            freeze_batch_norm(query.backbone)
        self.key = frozen_copy(Encoder(query.backbone, query.head))
        self.pending: list[PendingKeys] = []

    def encoder(self) -> Encoder:
        """The query encoder."""
        return self.query

    def param_groups(self) -> list[ParamGroup]:
        """The backbone, slower or later if asked, and everything else that learns."""
        options = self.options
        return split_groups(self, self.query.backbone, options.backbone_lr_scale, options.head_warmup_epochs)

    @torch.no_grad()
    def encode_keys(self, images: Tensor, clock: Clock, turn: int = 0) -> Tensor:
        """Unit keys float32 [B, D] without gradient; `turn` counts the key passes of a step."""
        return self.look_as_key(images, clock, turn).known_head

    @torch.no_grad()
    def look_as_key(self, images: Tensor, clock: Clock, turn: int = 0) -> Encoded:
        """All that the key encoder says; after a shuffle everything but `head` is of the images seen here."""
        if not self.options.shuffle_keys:
            return self.key(images)
        return encode_shuffled(self.key, images, per_view_seed(self.seed, clock.step, turn, 0, "shuffle"))

    def contrast(self, query: Tensor, keys: Tensor, queue: KeyQueue, ids: Tensor, *, clone: bool = False) -> Contrast:
        """InfoNCE of queries and their keys [B, D] against a queue; `clone` where the queue changes in this step."""
        options = self.options
        negatives = queue.keys.clone() if clone else queue.keys
        logits = contrast_logits(query, keys, negatives, options.temperature)
        own = own_image_mask(ids, queue.ids)
        loss = info_nce_from_logits(logits, own if options.queue_mask == "self" else None)
        return Contrast(loss, logits[:, 0].detach() * options.temperature, self_mass(logits, own))

    def after_step(self, clock: Clock) -> None:
        """Move the key encoder once and enqueue the keys of every micro-batch and rank, in the order they came."""
        self.move_keys()
        self.enqueue_pending()

    def enqueue_pending(self) -> None:
        """Put the waiting keys of all ranks into their queues."""
        for waiting in self.pending:
            waiting.queue.enqueue(gather(waiting.keys), gather(waiting.ids))
        self.clear_pending()

    def move_keys(self) -> None:
        """One momentum update of the key encoder; batch statistics stay its own."""
        update_momentum(self.query, self.key, self.options.momentum)

    def clear_pending(self) -> None:
        """Forget keys that were not enqueued."""
        self.pending.clear()


@dataclass(frozen=True, kw_only=True)
class MocoOptions(ContrastOptions):
    """`source` full image or object crop for both views; `mlp` False is MoCo v1's linear head."""

    source: Literal["full", "crop"] = "full"
    mlp: bool = True


class Moco(MomentumContrast):
    """MoCo v2: a query and a key view of the same image, one queue, one InfoNCE term.

    A rationale branch is the query encoder's; what it learns is up to a subclass.
    """

    loss_terms: tuple[str, ...] = ("loss1",)
    shares: tuple[str, ...] = ("self_mass", "queue_filled")
    options: MocoOptions

    def __init__(
        self, backbone: Backbone, options: MocoOptions, *, seed: int = 0, branch: RationaleBranch | None = None
    ) -> None:
        width = backbone.num_features
        head = ProjectionHead(width, width, options.dim) if options.mlp else LinearHead(width, options.dim)
        super().__init__(Encoder(backbone, head, branch), options, seed=seed)
        self.queue = KeyQueue(options.dim, options.queue_size, seed)

    def views(self) -> dict[str, View]:
        """Two draws of one recipe."""
        view = View(self.options.source, self.options.view_recipe, self.options.size)
        return {"query": view, "key": view}

    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        """Mean InfoNCE over the batch as `loss1`."""
        query: Encoded = self.query(batch.views["query"])
        key = self.look_as_key(batch.views["key"], clock)
        with torch.autocast(batch.index.device.type, enabled=False):
            term = self.contrast(query.known_head, key.known_head, self.queue, batch.index)
            loss = self.combine(query, key, term)
        self.pending.append(PendingKeys(self.queue, key.known_head, batch.index))
        return loss

    def combine(self, query: Encoded, key: Encoded, term: Contrast) -> LossParts:
        """The step's loss from both encodings and their contrast; where a subclass adds to it."""
        loss = term.loss.mean()
        stats = {"positive": term.positive.mean(), "self_mass": term.self_mass.mean()}
        return LossParts(loss, {"loss1": loss}, stats | {"queue_filled": self.queue.filled()})


def encode_shuffled(network: Encoder, images: Tensor, seed: int) -> Encoded:
    """Keys [B, D] of images [B, 3, H, W] whose batch statistics come from other ranks' images (MoCo, section 3.3).

    Only `head` is of these images, the rest is of those that were encoded here.

    `seed` must be the same on every rank. Alone, a permutation changes no batch statistic, and none is made.
    """
    if world() == 1:
        return network(images)
    count = len(images)
    generator = torch.Generator().manual_seed(seed % 2**63)
    order = torch.randperm(world() * count, generator=generator).to(images.device)
    mine = slice(rank() * count, (rank() + 1) * count)
    encoded = network(gather(images)[order[mine]])
    return replace(encoded, head=gather(encoded.known_head)[order.argsort()[mine]])


def describe_contrasts(terms: Sequence[Contrast], queue: KeyQueue) -> dict[str, Tensor]:
    """Numbers worth logging of contrasts: InfoNCE before any gate, positives, own-image mass; a queue's fill."""
    stats = {f"nce{n}": term.loss.detach().mean() for n, term in enumerate(terms, 1)}
    stats["positive"] = torch.stack([term.positive for term in terms]).mean()
    stats["self_mass"] = torch.stack([term.self_mass for term in terms]).mean()
    return stats | {"queue_filled": queue.filled()}
