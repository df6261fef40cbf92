"""OBD-SD (arXiv 2211.07566): metric learning whose teacher is the network as it was an epoch ago.

Any loss of losses.metric.criteria, plus the divergence of the batch's similarities from the teacher's (PSD), which may
be diffused over the batch first (OBDP). The weight of that term grows with the epochs: e / E lambda tau^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from datasets.loader import Batch, per_view_seed
from datasets.sampling.batches import Batches
from datasets.sampling.by_class import ClassBatches
from datasets.views.recipes import View
from losses.diffusion import Normalisation, diffused_target, row_entropy
from losses.metric.criteria import apply_criterion, build_criterion, choose_miner
from losses.metric.mining import MinerOptions
from losses.relational import batch_similarity, relation_target, relational_divergence
from methods.method import Clock, LossParts, Method, ParamGroup
from models.backbones import Backbone, freeze_batch_norm
from models.encoder import Encoder, HeadPool
from models.heads import LinearHead
from models.momentum import frozen_copy
from runtime.distributed import gather, gather_with_grad, rank, share_buffers, world


@dataclass(frozen=True, kw_only=True)
class ObdSdOptions:
    """What the user chooses.

    `dim` of the embedding, `pool` what it is made of, `normalise` whether it has length 1; `criterion` and
    `miner` by name with their options (`miner` None takes the loss's own); `distil` switches PSD on, `diffusion` OBDP
    with its normalisation; `kd_lambda`, `kd_tau`, `diffusion_w`, `diffusion_tau` are the paper's lambda, tau, omega and
    the temperature of its walk; `lr` the run's peak rate, which losses with a rate of their own are measured by, and
    `head_lr` the embedding layer's, None for the same; `sampler` and `samples_per_class` say how batches are drawn.
    """

    dim: int = 128
    size: int = 224
    view_recipe: str = "probe"
    pool: HeadPool = "avg"
    normalise: bool = True
    frozen_bn: bool = True
    criterion: str = "multisimilarity"
    criterion_options: Mapping[str, float] = field(default_factory=dict)
    miner: str | None = None
    miner_options: MinerOptions = MinerOptions()
    distil: bool = False
    diffusion: Normalisation | None = None
    kd_lambda: float = 75.0
    kd_tau: float = 1.0
    diffusion_w: float = 0.99
    diffusion_tau: float = 1.0
    lr: float = 1e-5
    head_lr: float | None = None
    sampler: Literal["class_random", "without-replacement"] = "class_random"
    samples_per_class: int = 2

    def __post_init__(self) -> None:
        """Raises ValueError for a diffusion of a target that is not there."""
        if self.diffusion is not None and not self.distil:
            raise ValueError("batch diffusion changes the target of self-distillation and does nothing without it")


class ObdSd(Method):
    """A network, a metric loss, and the network of the last epoch as its teacher.

    The batch of all processes is one batch: embeddings are gathered with gradient, so that two ranks do what one does.
    Parts are `rank` and, from the second epoch on, `psd` before its weight.
    """

    couples_batch = True
    loss_terms: tuple[str, ...] = ("rank", "psd")

    def __init__(self, backbone: Backbone, options: ObdSdOptions, *, classes: int, seed: int = 0) -> None:
        super().__init__()
        self.options, self.seed = options, seed
        head = LinearHead(backbone.num_features, options.dim)
        self.student = Encoder(backbone, head, head_pool=options.pool, unit_head=options.normalise)
        if options.frozen_bn:
            freeze_batch_norm(backbone)
        self.criterion = build_criterion(options.criterion, classes=classes, dim=options.dim,
                                         **options.criterion_options)
        self.miner = choose_miner(self.criterion, options.miner)
        self.teacher = frozen_copy(self.student).eval() if options.distil else None

    def train(self, mode: bool = True) -> ObdSd:
        """Like every module's, but the teacher stays in eval mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def views(self) -> dict[str, View]:
        """One view of the whole image."""
        return {"image": View("full", self.options.view_recipe, self.options.size)}

    def encoder(self) -> Encoder:
        """The student."""
        return self.student

    def sampler(self, labels: Tensor, batch_size: int) -> Batches:
        """Batches with several images of each class; raises DataError when they cannot be made."""
        options = self.options
        return ClassBatches(labels.tolist(), batch_size, options.samples_per_class, seed=self.seed, rank=rank(),
                            world=world(), replace=options.sampler == "class_random")

    def param_groups(self) -> list[ParamGroup]:
        """The backbone, the embedding layer, and the loss's own parameters without weight decay."""
        options, own = self.options, [p for p in self.criterion.parameters() if p.requires_grad]
        head = self.student.head
        assert head is not None  # made in the constructor
        head_scale = 1.0 if options.head_lr is None else options.head_lr / options.lr
        groups = [ParamGroup([p for p in self.student.backbone.parameters() if p.requires_grad]),
                  ParamGroup(list(head.parameters()), lr_scale=head_scale)]
        rate = self.criterion.rate
        own_scale = self.criterion.rate_scale if rate is None else rate / options.lr
        return [*groups, ParamGroup(own, lr_scale=own_scale, weight_decay=0.0)] if own else groups

    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        """The metric loss of the whole world's batch, and its divergence from the teacher."""
        images = batch.views["image"]
        embeddings, labels = gather_with_grad(self.student(images).head), gather(batch.label)
        generator = torch.Generator().manual_seed(per_view_seed(self.seed, clock.step, 0, 0, "mine") % 2**63)
        loss = apply_criterion(self.criterion, self.miner, embeddings, labels, generator, self.options.miner_options)
        ranked = LossParts(loss, {"rank": loss})
        if self.teacher is None or clock.epoch == 0:
            return ranked
        with torch.no_grad():
            taught = gather(self.teacher(images).head)
        return self.distil(ranked, embeddings, taught, clock)

    def distil(self, ranked: LossParts, embeddings: Tensor, taught: Tensor, clock: Clock) -> LossParts:
        """The loss with the divergence of the student's similarities from the teacher's: [B, D] twice."""
        options = self.options
        weight = clock.epoch / clock.epochs * options.kd_lambda * options.kd_tau**2
        target = self.make_target(batch_similarity(taught))
        term = relational_divergence(batch_similarity(embeddings), target, options.kd_tau).mean()
        stats = {"target_entropy": row_entropy(target).mean(), "psd_weight": torch.tensor(weight)}
        return LossParts(ranked.total + weight * term, ranked.parts | {"psd": term}, ranked.stats | stats)

    def make_target(self, similarity: Tensor) -> Tensor:
        """What the teacher's similarities say of the student's embeddings: [B, B] -> probabilities [B, B]."""
        options = self.options
        if options.diffusion is None:
            return relation_target(similarity, options.kd_tau)
        return diffused_target(similarity, weight=options.diffusion_w, temperature=options.kd_tau,
                               walk_temperature=options.diffusion_tau, normalisation=options.diffusion)

    def after_epoch(self, clock: Clock) -> None:
        """The student becomes the teacher of the next epoch, the same one on every rank."""
        if self.teacher is not None:
            share_buffers(self.student)
            self.teacher.load_state_dict(self.student.state_dict())
