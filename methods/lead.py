"""LEAD++: contrast between image and object crop, distillation gated by a teacher's entropy, and a rationale branch.

docs/lead.md has the formulas, and which switch brings back each fact of the public code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from datasets.loader import Batch
from datasets.views.recipes import View
from losses.distillation import cosine_distance, kl_divergence, prototype_log_probabilities
from losses.entropy import adaptive_gate, normalised_entropy
from methods.guidance import Guidance, join_per_image
from methods.method import Clock, LossParts
from methods.moco import Contrast, ContrastOptions, MomentumContrast, PendingKeys, describe_contrasts
from methods.rationale import Rationale, RationaleOptions, fit_rationale
from models.attention import RationaleBranch
from models.backbones import Backbone
from models.encoder import Encoded, Encoder
from models.heads import ProjectionHead
from models.queue import KeyQueue
from models.teachers.guide import Guide, Prototypes
from runtime.distributed import gather

FULL: Literal["full"] = "full"
CROP: Literal["crop"] = "crop"


@dataclass(frozen=True, kw_only=True)
class LeadOptions(ContrastOptions):
    """Every choice of LEAD; the defaults are ours, `seed` makes the public code's. `dim` yields to a guide's width.

    `alpha` weighs contrast and CAM, `beta` distillation, `cross_weight` the image-to-crop term, `cosine_weight` an
    optional 1 - cos(student, teacher). `cam_weight` and `beta` are meant for `reference_batch` images summed up.

    Facts of the public code, each a switch: `six_passes` encodes v1 and v4 twice and moves the key encoder before each
    of three key passes; `early_enqueue` lets the third term meet its own key among the negatives; `queue_mask` "none";
    `log_of_softmax`; `entropy_classes` divides the entropy by the log of that number; `distill_sum` and `cam` "rows"
    sum over the local batch; `attention_normalise` "batch"; `shuffle_keys`.
    """

    dim: int = 512
    temperature: float = 0.27
    alpha: float = 0.5
    beta: float = 20.0
    cross_weight: float = 0.1
    cosine_weight: float = 0.0
    cam_weight: float = 0.001
    cam_temperature: float = 0.1
    reference_batch: int = 32
    branch_width: int = 32
    six_passes: bool = False
    early_enqueue: bool = False
    log_of_softmax: bool = False
    entropy_classes: int | None = None
    distill_sum: bool = False
    cam: Literal["peak", "rows"] = "peak"
    attention_normalise: Literal["image", "batch"] = "image"

    @property
    def couples_batch(self) -> bool:
        """Whether the loss of a batch is more than the mean over its images: sums, a queue or an encoder that changes
        within the step, attention brought to [0, 1] by the whole batch.
        """
        return (self.six_passes or self.early_enqueue or self.distill_sum or self.cam != "peak"
                or self.attention_normalise == "batch")

    @classmethod
    def default(cls, **changes: object) -> LeadOptions:
        """Our arithmetic."""
        make: Callable[..., LeadOptions] = cls
        return make(**changes)

    @classmethod
    def seed(cls, num_classes: int | None = None, **changes: object) -> LeadOptions:
        """The public code's arithmetic; `num_classes` is its argument of that name (None: the number of prototypes)."""
        facts = cls(
            six_passes=True, early_enqueue=True, queue_mask="none", log_of_softmax=True, entropy_classes=num_classes,
            distill_sum=True, cam="rows", attention_normalise="batch", shuffle_keys=True)
        change: Callable[..., LeadOptions] = replace
        return change(facts, **changes)


@dataclass(frozen=True)
class QueryAndKey:
    """A query view's encoding and the keys [B, D] that belong to it."""

    query: Encoded
    keys: Tensor


class Lead(MomentumContrast):
    """LEAD++. Without a guide only the contrastive terms and the CAM term are left, each sample with weight 1.

    `monitor["entropy"]` keeps the last batch's normalised teacher entropies [B] for a histogram; `per_image` adds the
    student's, whether both take one prototype for the nearest, the two weights, and those prototypes.
    """

    frozen = ("guide.teacher",)
    loss_terms = ("loss1", "loss2", "loss3", "cam", "distill", "distill_text", "distill_image", "cosine")
    shares = ("entropy", "gate", "agreement", "self_mass", "queue_filled")
    sides = {"distillation": ("distill", "cosine"), "contrast": ("loss1", "loss2", "loss3")}
    options: LeadOptions

    def __init__(self, backbone: Backbone, guide: Guide | None, options: LeadOptions, *, seed: int = 0) -> None:
        width, dim = backbone.num_features, options.dim if guide is None else guide.dim
        # Where nothing is contrasted there is no rationale to be learned.
        self.distils_only = guide is not None and not options.alpha and not options.six_passes
        branch = (None if self.distils_only
                  else RationaleBranch(width, options.branch_width, options.attention_normalise))
        super().__init__(Encoder(backbone, ProjectionHead(width, width, dim), branch), options, seed=seed)
        self.guide, self.couples_batch = guide, options.couples_batch
        if self.distils_only:
            self.sides = {name: terms for name, terms in self.sides.items() if name == "distillation"}
        self.queue1 = KeyQueue(dim, options.queue_size, 2 * seed)
        self.queue2 = KeyQueue(dim, options.queue_size, 2 * seed + 1)
        self.monitor, self.per_image = dict[str, Tensor](), dict[str, Tensor]()

    def views(self) -> dict[str, View]:
        """v1, v2 of the full image, v3, v4 of the object's crop; v3 alone where nothing is contrasted."""
        sources: dict[str, Literal["full", "crop"]]
        sources = {"v3": CROP} if self.distils_only else {"v1": FULL, "v2": FULL, "v3": CROP, "v4": CROP}
        return {name: View(source, self.options.view_recipe, self.options.size) for name, source in sources.items()}

    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        """The three contrastive terms `loss1..3` (gated means), `distill`, `cam`, and their weighted total."""
        if self.distils_only:
            return self.distil(batch)
        answer = self.guide(batch.views["v3"], batch.index) if self.guide is not None else None
        pairs = self.encode_pairs(batch.views, clock)
        with torch.autocast(batch.index.device.type, enabled=False):
            terms = self.contrast_pairs(pairs, batch.index)
            return self.combine(terms, pairs[2].query, answer)

    def distil(self, batch: Batch) -> LossParts:
        """Distillation alone: one view, a quarter of the passes; the branch is left as it is."""
        assert self.guide is not None
        answer, crop = self.guide(batch.views["v3"], batch.index), self.query(batch.views["v3"], attend=False)
        with torch.autocast(batch.index.device.type, enabled=False):
            guidance = self.follow_guide(crop.known_head, answer)
            self.monitor, self.per_image = {"entropy": guidance.entropy}, guidance.per_image
            return self.add_cosine(LossParts(guidance.distill, {"distill": guidance.distill}, guidance.stats), crop,
                                   answer)

    def add_cosine(self, parts: LossParts, crop: Encoded, answer: Tensor | None) -> LossParts:
        """With the cosine term, where it has a weight."""
        if not self.options.cosine_weight or answer is None:
            return parts
        cosine = cosine_distance(crop.known_head, answer).mean()
        total = parts.total + self.options.cosine_weight * cosine
        return LossParts(total, parts.parts | {"cosine": cosine}, parts.stats)

    def encode_pairs(self, views: Mapping[str, Tensor], clock: Clock) -> list[QueryAndKey]:
        """Image-image, image-crop and crop-crop pairs; the branch looks at the third query only."""
        if self.options.six_passes:
            plan = (("v1", "v2", False), ("v1", "v4", False), ("v3", "v4", True))
            return [self.encode_pair(views[q], views[k], clock, turn, attend=a) for turn, (q, k, a) in enumerate(plan)]
        first, third = self.query(views["v1"], attend=False), self.query(views["v3"])
        keys2, keys4 = self.encode_keys(views["v2"], clock, 0), self.encode_keys(views["v4"], clock, 1)
        return [QueryAndKey(first, keys2), QueryAndKey(first, keys4), QueryAndKey(third, keys4)]

    def encode_pair(self, query: Tensor, key: Tensor, clock: Clock, turn: int, *, attend: bool) -> QueryAndKey:
        """One of the public code's three passes: query, momentum update, key."""
        encoded = self.query(query, attend=attend)
        self.move_keys()
        return QueryAndKey(encoded, self.encode_keys(key, clock, turn))

    def contrast_pairs(self, pairs: list[QueryAndKey], ids: Tensor) -> list[Contrast]:
        """InfoNCE of each pair; keys of the first two enter their queues, at once or at the end of the step."""
        early = self.options.early_enqueue
        plan = ((self.queue1, True), (self.queue2, True), (self.queue2, False))
        terms = []
        for pair, (queue, enters) in zip(pairs, plan, strict=True):
            terms.append(self.contrast(pair.query.known_head, pair.keys, queue, ids, clone=early))
            if enters and early:
                queue.enqueue(gather(pair.keys), gather(ids))
            elif enters:
                self.pending.append(PendingKeys(queue, pair.keys, ids))
        return terms

    def combine(self, terms: list[Contrast], crop: Encoded, answer: Tensor | None) -> LossParts:
        """All terms and their total, from per-sample contrast, the crop's encoding and the teacher's answer [B, D]."""
        options = self.options
        guidance = self.follow_guide(crop.known_head, answer)
        self.monitor = {"entropy": guidance.entropy} if answer is not None else {}
        self.per_image = guidance.per_image
        loss1, loss2, loss3 = ((guidance.contrast * term.loss).mean() for term in terms)
        rationale = self.fit_attention(crop, terms[2].loss, guidance.contrast)
        parts = {"loss1": loss1, "loss2": loss2, "loss3": loss3, "cam": rationale.term, "distill": guidance.distill}
        contrast = loss1 + options.cross_weight * loss2 + loss3
        total = options.alpha * (contrast + rationale.weight * rationale.term) + guidance.distill
        stats = guidance.stats | rationale.stats | describe_contrasts(terms, self.queue1)
        return self.add_cosine(LossParts(total, parts, stats), crop, answer)

    def fit_attention(self, crop: Encoded, loss: Tensor, weights: Tensor) -> Rationale:
        """Attention against the activation map of the third term [B]; the public code's is of the gated, scaled one."""
        options = self.options
        rationale = RationaleOptions(
            weight=options.cam_weight, reference_batch=options.reference_batch, cam=options.cam,
            temperature=options.cam_temperature)
        return fit_rationale(crop, options.alpha * weights * loss if rationale.sums_up else loss, rationale, "rows")

    def follow_guide(self, student: Tensor, answer: Tensor | None) -> Guidance:
        """Gate and distillation over every set of prototypes; contrast follows the mean of their entropies."""
        if answer is None or self.guide is None:
            ones = torch.ones(len(student), device=student.device)
            return Guidance(ones, student.new_zeros(()), ones, {}, {})
        parts = {name: self.follow_prototypes(student, answer, some) for name, some in self.guide.sets().items()}
        entropy = torch.stack([part.entropy for part in parts.values()]).mean(dim=0)
        distill = torch.stack([part.distill for part in parts.values()]).sum()
        keys = next(iter(parts.values())).stats
        stats = {key: torch.stack([part.stats[key] for part in parts.values()]).mean() for key in keys}
        if len(parts) > 1:
            stats |= {f"distill_{name}": part.distill.detach() for name, part in parts.items()}
            stats |= {f"entropy_{name}": part.entropy.mean() for name, part in parts.items()}
        return Guidance(adaptive_gate(entropy).contrast, distill, entropy, stats, join_per_image(list(parts.values())))

    def follow_prototypes(self, student: Tensor, answer: Tensor, prototypes: Prototypes) -> Guidance:
        """Gate and distillation over one set of prototypes, from unit rows [B, D] of student and teacher."""
        options, rows = self.options, prototypes.rows
        teacher, pupil = (
            prototype_log_probabilities(
                seen, rows, temperature=prototypes.temperature, log_of_softmax=options.log_of_softmax)
            for seen in (answer, student))
        entropy = normalised_entropy(teacher, options.entropy_classes)
        gate = adaptive_gate(entropy)
        loss = gate.distill * kl_divergence(teacher, pupil)
        summed = loss.sum() if options.distill_sum else options.reference_batch * loss.mean()
        theirs, ours = teacher.argmax(dim=1), pupil.argmax(dim=1)
        agree, top1 = (ours == theirs).float(), teacher.amax(dim=1).exp().mean()
        means = {"entropy": entropy.mean(), "gate": gate.distill.mean(), "teacher_top1": top1,
                 "agreement": agree.mean()}
        per_image = {"entropy": entropy, "agreement": agree, "contrast": gate.contrast, "distill": gate.distill,
                     "student_entropy": normalised_entropy(pupil.detach(), options.entropy_classes),
                     "teacher": theirs, "student": ours}
        return Guidance(gate.contrast, options.beta / len(rows) * summed, entropy, means, per_image)

    def after_step(self, clock: Clock) -> None:
        """As MoCo's, but six passes have moved the key encoder already."""
        if self.options.six_passes:
            self.enqueue_pending()
        else:
            super().after_step(clock)
