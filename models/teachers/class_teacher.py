"""A trained classifier that only answers: the teacher of a distilled student."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from models.classifiers.classifier import Classifier
from models.classifiers.folding import fold_batch_norms
from models.network import ClassNetwork
from models.teachers.frozen import FrozenTeacher, settle_precision
from models.weights.read import fingerprint


class LogitNetwork(nn.Module):
    """The prediction of a classifier alone: images [B, 3, H, W] -> logits float32 [B, K] of its `answer`."""

    def __init__(self, classifier: ClassNetwork) -> None:
        super().__init__()
        self.classifier = classifier

    @property
    def net(self) -> nn.Module:
        """The timm network."""
        return self.classifier.backbone

    @property
    def mean(self) -> Tensor:
        """What the network subtracts from its images, [3, 1, 1]."""
        assert isinstance(self.classifier, Classifier)  # other kinds keep theirs inside
        return self.classifier.mean

    def forward(self, images: Tensor) -> Tensor:
        """The logits that count."""
        return self.classifier.outputs(images)[self.classifier.answer]


class ClassTeacher(FrozenTeacher[LogitNetwork]):
    """A frozen classifier that looks at images of `size` pixels and answers with logits of `dim` classes."""

    def __init__(self, network: LogitNetwork, *, size: int, dim: int, precision: str, identity: str) -> None:
        super().__init__(network, size=size, dim=dim, precision=precision)
        self.identity = identity

    def fingerprint(self) -> str:
        """sha256 of the weights as they were given, before batch norms were folded."""
        return self.identity

    def _answer(self, images: Tensor) -> Tensor:
        return self.network(images)


def build_class_teacher(classifier: ClassNetwork, *, size: int, precision: str = "fp32") -> ClassTeacher:
    """A copy of a classifier as a teacher, its batch norms folded where that changes nothing.

    `precision` fp32, bf16 or auto, whichever answers faster on the classifier's device; only a `Classifier` can change
    it, another network (one with `outputs` and `answer`) stays in float32.
    """
    classifier = copy.deepcopy(classifier).eval().requires_grad_(False)
    identity, logits_of = fingerprint(classifier), LogitNetwork(classifier)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = images.to(next(classifier.parameters()).device)
    logits_of = fold_batch_norms(logits_of, images)
    with torch.no_grad():
        classes = logits_of(images).shape[1]
    chosen = settle_precision(logits_of, precision, size) if isinstance(classifier, Classifier) else "fp32"
    return ClassTeacher(logits_of, size=size, dim=classes, precision=chosen, identity=identity)
