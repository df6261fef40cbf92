"""DeiT's distillation (arXiv 2012.12877): a student's second head learns from a frozen teacher's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from datasets.loader import Batch
from losses.class_distillation import hard_distillation, legacy_soft_distillation, soft_distillation
from methods.method import Clock, LossParts
from methods.supervised import Mixed, Supervised, Supervision, accuracies, share_of_hits
from models.network import ClassNetwork
from models.teachers.frozen import FrozenTeacher


@dataclass(frozen=True, kw_only=True)
class DistillOptions:
    """How the teacher is listened to: its first choice ("hard"), its probabilities ("soft"), or not at all.

    `alpha` is the teacher's share of the loss, `tau` the temperature of soft answers, `reduction` "batchmean" or, K
    times smaller, "legacy" as in DeiT's public code. Raises ValueError for what does not exist.
    """

    kind: Literal["none", "hard", "soft"] = "none"
    alpha: float = 0.5
    tau: float = 1.0
    reduction: Literal["batchmean", "legacy"] = "batchmean"

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.kind not in ("none", "hard", "soft") or self.reduction not in ("batchmean", "legacy"):
            raise ValueError(f"{self}: kind is none, hard or soft, reduction batchmean or legacy")
        if not 0 <= self.alpha <= 1 or self.tau <= 0:
            raise ValueError(f"{self}: alpha lies in [0, 1], tau above 0")


class Distill(Supervised):
    """A student and its teacher, which sees the same mixed images, at its own size.

    `teacher_logits` [N, K] by image index stand in for a live teacher: its answers to one fixed clean view of each
    image; they enter no checkpoint. The second head learns from the teacher, the first from the labels; a student with
    one head learns from both with it. Without a teacher every head learns from the labels. Parts are "cls" and
    "distillation" before their weights (without a teacher "cls" and "dist"); statistics are accuracies, the teacher's
    too, and how often student and teacher agree. Raises ValueError when teacher and student cannot go together.
    """

    frozen = ("teacher",)
    loss_terms: tuple[str, ...] = (*Supervised.loss_terms, "distillation")
    shares: tuple[str, ...] = ("agreement",)
    teacher_logits: Tensor | None

    def __init__(
        self, network: ClassNetwork, options: Supervision, distillation: DistillOptions, *,
        teacher: FrozenTeacher | None = None, teacher_logits: Tensor | None = None,
    ) -> None:
        super().__init__(network, options)
        self.distillation = distillation
        _refuse_mismatch(options, distillation, teacher, teacher_logits)
        self.teacher = teacher
        self.register_buffer("teacher_logits", teacher_logits, persistent=False)

    def forward(self, batch: Batch, clock: Clock) -> LossParts:
        """The labels' and the teacher's loss."""
        if self.distillation.kind == "none":
            return super().forward(batch, clock)
        mixed = self.mix(batch, clock)
        taught = self.ask(mixed.images, batch.index)
        return self.combine(self.network(mixed.images), taught, mixed)

    def ask(self, images: Tensor, index: Tensor) -> Tensor:
        """The teacher's logits for images [B, 3, H, W] with these indices [B]: float32 [B, K] without gradient."""
        if self.teacher_logits is not None:
            return self.teacher_logits[index].float()
        assert self.teacher is not None  # refused in the constructor
        return self.teacher.encode(images)

    def combine(self, logits: dict[str, Tensor], taught: Tensor, mixed: Mixed) -> LossParts:
        """(1 - alpha) of the first head's loss and alpha of the second's distance from the teacher [B, K].

        Both heads are in the graph for every alpha, also 0 and 1, so that DDP finds no idle parameter.
        """
        alpha, pupil = self.distillation.alpha, logits.get("dist", logits["cls"])
        labelled, distilled = self.base_loss(logits["cls"], mixed), self.distance(pupil, taught).mean()
        stats = accuracies(logits, mixed.labels) | {"accuracy_teacher": share_of_hits(taught, mixed.labels),
                                                    "agreement": share_of_hits(pupil, taught.argmax(1))}
        return LossParts((1 - alpha) * labelled + alpha * distilled,
                         {"cls": labelled, "distillation": distilled}, stats)

    def distance(self, pupil: Tensor, taught: Tensor) -> Tensor:
        """What keeps the student from the teacher: logits [B, K] twice -> float32 [B]."""
        options = self.distillation
        if options.kind == "hard":
            return hard_distillation(pupil, taught)
        soft = legacy_soft_distillation if options.reduction == "legacy" else soft_distillation
        return soft(pupil, taught, options.tau)


def _refuse_mismatch(
    options: Supervision, distillation: DistillOptions, teacher: FrozenTeacher | None, logits: Tensor | None
) -> None:
    given = (teacher is not None) + (logits is not None)
    if distillation.kind != "none" and given != 1:
        raise ValueError(f"{distillation.kind} distillation needs a teacher or its logits, one of the two")
    if logits is not None and options.mixes:
        raise ValueError("cached teacher logits belong to single images; leave out mixup and cutmix, or the cache")
    answers = teacher.dim if teacher is not None else logits.shape[1] if logits is not None else options.classes
    if answers != options.classes:
        raise ValueError(f"the teacher knows {answers} classes, the student {options.classes}; they must be the same")
