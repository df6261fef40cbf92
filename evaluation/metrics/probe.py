"""A linear probe on features at hand: rates, classifier, accuracies."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from datasets.images import ImageSet
from evaluation.metrics.linear import Accuracy, Choice, Fitted, LinearPlan, choose_rate, fit, score_classifier
from runtime.errors import ConfigError

RATES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class Split:
    """The labelled images of a split as unit features [N, D] on the device, with their labels [N]."""

    images: ImageSet
    features: Tensor
    labels: Tensor
    speed: float


@dataclass(frozen=True)
class Outcome:
    """A trained probe: accuracies on test at the last and the best epoch, and how rate and best epoch were chosen."""

    fitted: Fitted
    rate: float
    last: Accuracy
    best: Accuracy
    rate_selection: str
    best_selection: str
    curves: dict[str, list[float]]


def probe_cached(train: Split, test: Split, rates: tuple[float, ...], plan: LinearPlan, hold_out: float) -> Outcome:
    """Choose rate and best epoch on a held-out part of train, refit on all of it, read test at the end."""
    classes = len(train.images.classes)
    if hold_out <= 0 and len(rates) > 1:
        raise ConfigError("--hold-out 0 leaves nothing to choose a rate with; give one --lr")
    choice = choose_rate(train.features, train.labels, classes, rates, plan, hold_out) if hold_out > 0 else None
    rate = choice.rate if choice else rates[0]
    fitted = fit(train.features, train.labels, classes, rate, plan, choice.epoch if choice else None)
    text = f"{choice.held_out} held-out training images" if choice else "none"
    last, best = (score_classifier(one, test.features, test.labels) for one in (fitted.last, fitted.best))
    return Outcome(fitted, rate, last, best, text if len(rates) > 1 else "given", text,
                   name_curves(choice) if choice else {})


def name_curves(choice: Choice) -> dict[str, list[float]]:
    """Held-out top-1 over epochs, by rate."""
    return {f"held-out, lr {rate:g}": choice.curves[:, number].tolist() for number, rate in enumerate(choice.rates)}
