"""Linear classifiers on frozen features: several learning rates trained at once, chosen without looking at test.

SGD with momentum and no weight decay from weights N(0, 0.01) and zero biases; one softmax cross-entropy per classifier,
whose gradient is written out, so that H classifiers cost two matrix products a step instead of H autograd graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.sampling.batches import permute
from runtime.errors import DataError


@dataclass(frozen=True)
class LinearPlan:
    """How a classifier is trained: the rate falls to a tenth at each of `milestones` (epochs from 0), or, where they
    are None, along a cosine.
    """

    epochs: int = 100
    batch_size: int = 256
    milestones: tuple[int, ...] | None = (60, 80)
    momentum: float = 0.9
    seed: int = 0

    def factor(self, epoch: int) -> float:
        """The share of the initial learning rate that epoch 0 ... epochs - 1 trains with."""
        if self.milestones is not None:
            return 0.1 ** sum(epoch >= milestone for milestone in self.milestones)
        return (1 + math.cos(math.pi * epoch / self.epochs)) / 2


@dataclass(frozen=True)
class LinearClassifier:
    """Logits = features @ weight.T + bias; weight [C, D], bias [C], float32."""

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """[N, D] -> [N, C]."""
        return F.linear(features, self.weight, self.bias)


@dataclass(frozen=True)
class Accuracy:
    """Shares in [0, 1] of images whose class is the first, or among the first five, of the classifier's guesses."""

    top1: float
    top5: float


@dataclass(frozen=True)
class Choice:
    """What the held-out part of the training split says: a rate, its best epoch (1-based), and all curves [E, H]."""

    rate: float
    epoch: int
    rates: tuple[float, ...]
    curves: Tensor
    held_out: int


@dataclass(frozen=True)
class Fitted:
    """A classifier after the last epoch, and at the epoch called best; `losses` is the mean training loss by epoch."""

    last: LinearClassifier
    best: LinearClassifier
    best_epoch: int
    losses: list[float]
    tested: list[Accuracy] = field(default_factory=list)


class Heads:
    """H classifiers that start equal and see the same batches, each with its own learning rate."""

    def __init__(
        self, rates: tuple[float, ...], classes: int, width: int, plan: LinearPlan, device: torch.device
    ) -> None:
        generator = torch.Generator().manual_seed(plan.seed)
        start = torch.randn(classes, width, generator=generator) * 0.01
        self.weight = start.repeat(len(rates), 1, 1).to(device)
        self.bias = torch.zeros(len(rates), classes, device=device)
        self.rates = torch.tensor(rates, device=device)
        self.momentum = plan.momentum
        self._speed = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def logits(self, features: Tensor) -> Tensor:
        """[N, D] -> [N, H, C]."""
        flat = F.linear(features, self.weight.flatten(0, 1), self.bias.flatten())
        return flat.unflatten(1, self.bias.shape)

    def step(self, features: Tensor, labels: Tensor, factor: float) -> Tensor:
        """One SGD step on a batch [b, D] at `factor` times the rates; the loss of each classifier before it [H]."""
        log_probs = self.logits(features).log_softmax(dim=2)
        picked = labels.view(-1, 1, 1).expand(-1, len(self.rates), 1)
        loss = -log_probs.gather(2, picked).mean(dim=0).squeeze(1)
        slope = log_probs.exp_()
        slope.scatter_add_(2, picked, slope.new_full((1, 1, 1), -1.0).expand_as(picked))
        slope /= len(labels)
        gradients = (slope.flatten(1).T @ features).view_as(self.weight), slope.sum(dim=0)
        for value, speed, gradient in zip((self.weight, self.bias), self._speed, gradients):
            speed.mul_(self.momentum).add_(gradient)
            value.sub_((self.rates * factor).view(-1, *[1] * (value.dim() - 1)) * speed)
        return loss

    def take(self, number: int) -> LinearClassifier:
        """A copy of one classifier."""
        return LinearClassifier(self.weight[number].clone(), self.bias[number].clone())


def train_epoch(heads: Heads, features: Tensor, labels: Tensor, plan: LinearPlan, epoch: int) -> Tensor:
    """One shuffled pass (an order of seed and epoch alone, no image dropped); mean loss of each classifier [H]."""
    order = torch.from_numpy(permute(len(labels), plan.seed, epoch)).long().to(features.device)
    total = torch.zeros_like(heads.rates)
    for batch in order.split(plan.batch_size):
        total += heads.step(features[batch], labels[batch], plan.factor(epoch)) * len(batch)
    return total / len(labels)


def choose_rate(
    features: Tensor, labels: Tensor, classes: int, rates: tuple[float, ...], plan: LinearPlan, share: float = 0.2
) -> Choice:
    """Train every rate on a stratified part of the training split and compare them on the rest, after every epoch.

    The rate is that of the best last epoch (equal: lower loss, then the smaller rate); its best epoch is reported too.
    """
    held = draw_held_out(labels, share, plan.seed).to(features.device)
    heads = Heads(rates, classes, features.shape[1], plan, features.device)
    curve, loss = [], heads.rates
    for epoch in range(plan.epochs):
        train_epoch(heads, features[~held], labels[~held], plan, epoch)
        logits = heads.logits(features[held])
        wanted = labels[held, None].expand(-1, len(rates))
        loss = F.cross_entropy(logits.transpose(1, 2), wanted, reduction="none").mean(dim=0)
        curve.append((logits.argmax(dim=2) == wanted).float().mean(dim=0))
    curves = torch.stack(curve).cpu()
    ranking = sorted(range(len(rates)), key=lambda h: (-float(curves[-1, h]), _finite(float(loss[h])), rates[h]))
    return Choice(rates[ranking[0]], int(curves[:, ranking[0]].argmax()) + 1, rates, curves, int(held.sum()))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def draw_held_out(labels: Tensor, share: float, seed: int) -> Tensor:
    """Mask [N] of a stratified part: about `share` of every class, at least one and never all of its images.

    Raises DataError when no class has two images.
    """
    rng = np.random.RandomState(seed)  # its stream never changes between NumPy versions
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten().cpu().numpy()
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        mask[torch.from_numpy(rng.permutation(members)[:count])] = True
    if not mask.any():
        raise DataError("every class has a single training image, so nothing can be held out to choose a learning "
                        "rate; give one --lr and --hold-out 0")
    return mask


def fit(
    features: Tensor, labels: Tensor, classes: int, rate: float, plan: LinearPlan, best_epoch: int | None = None
) -> Fitted:
    """Train one classifier on all of [N, D]; `best_epoch` (1-based, chosen elsewhere) is kept beside the last."""
    best_epoch = best_epoch or plan.epochs
    heads = Heads((rate,), classes, features.shape[1], plan, features.device)
    return _train(lambda epoch: features, labels, heads, plan, lambda epoch, classifier: epoch == best_epoch)


def fit_augmented(
    draw: Callable[[int], Tensor],
    labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    classes: int,
    rate: float,
    plan: LinearPlan,
) -> Fitted:
    """The public LEAD protocol: new features every epoch (`draw(epoch)` [N, D]), test read after each.

    Best is the epoch that does best on TEST: a number to compare with published ones, not an estimate.
    """
    tested: list[Accuracy] = []

    def is_best(epoch: int, classifier: LinearClassifier) -> bool:
        tested.append(score_classifier(classifier, test, test_labels))
        return tested[-1].top1 > max((seen.top1 for seen in tested[:-1]), default=-1.0)

    heads = Heads((rate,), classes, test.shape[1], plan, test.device)
    fitted = _train(draw, labels, heads, plan, is_best)
    return Fitted(fitted.last, fitted.best, fitted.best_epoch, fitted.losses, tested)


def _train(
    draw: Callable[[int], Tensor], labels: Tensor, heads: Heads, plan: LinearPlan,
    is_best: Callable[[int, LinearClassifier], bool],
) -> Fitted:
    best, best_epoch, losses = heads.take(0), 0, []
    for epoch in range(plan.epochs):
        losses.append(float(train_epoch(heads, draw(epoch), labels, plan, epoch)))
        if is_best(epoch + 1, heads.take(0)):
            best, best_epoch = heads.take(0), epoch + 1
    return Fitted(heads.take(0), best, best_epoch, losses)


def score_classifier(classifier: LinearClassifier, features: Tensor, labels: Tensor) -> Accuracy:
    """Top-1 and top-5 of a classifier (top-5 over all classes where there are fewer)."""
    hits = [(guess == labels[rows, None]) for rows, guess in _guess(classifier, features, 5)]
    ranked = torch.cat(hits)
    return Accuracy(float(ranked[:, 0].double().mean()), float(ranked.any(dim=1).double().mean()))


def predict(classifier: LinearClassifier, features: Tensor) -> Tensor:
    """The first guess for every row: int64 [N]."""
    return torch.cat([guess[:, 0] for _, guess in _guess(classifier, features, 1)]).cpu()


def _guess(classifier: LinearClassifier, features: Tensor, k: int) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(features), 4096):
        rows = slice(start, start + 4096)
        logits = classifier.logits(features[rows])
        yield rows, logits.topk(min(k, logits.shape[1]), dim=1).indices
