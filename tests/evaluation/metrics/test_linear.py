"""The probe: its gradient is SGD's, its grid is each rate alone, its choice never sees test."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.linear import (
    Heads,
    LinearPlan,
    choose_rate,
    draw_held_out,
    fit,
    fit_augmented,
    predict,
    score_classifier,
    train_epoch,
)
from runtime.errors import DataError

CPU = torch.device("cpu")


def clusters(count: int, noise: float, classes: int = 5, width: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(77))
    return F.normalize(centres[labels] + noise * torch.randn(count, width, generator=generator), dim=1), labels


def test_a_step_is_torchs_sgd_on_cross_entropy() -> None:
    features, labels = clusters(64, 1.0)
    heads = Heads((3.0,), 5, 32, LinearPlan(), CPU)
    twin = torch.nn.Linear(32, 5)
    twin.load_state_dict({"weight": heads.weight[0], "bias": heads.bias[0]})
    optimizer = torch.optim.SGD(twin.parameters(), lr=3.0, momentum=0.9)
    for factor in (1.0, 1.0, 0.1, 0.1):
        optimizer.param_groups[0]["lr"] = 3.0 * factor
        loss = F.cross_entropy(twin(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert float(heads.step(features, labels, factor)) == pytest.approx(loss.item(), rel=1e-5)
    assert torch.allclose(heads.weight[0], twin.weight, atol=1e-5)
    assert torch.allclose(heads.bias[0], twin.bias, atol=1e-5)


def test_grid_equals_each_rate_trained_alone() -> None:
    features, labels = clusters(150, 0.8)
    plan, rates = LinearPlan(epochs=6, batch_size=32, milestones=(3, 5)), (0.1, 1.0, 10.0)
    together = Heads(rates, 5, 32, plan, CPU)
    for epoch in range(plan.epochs):
        train_epoch(together, features, labels, plan, epoch)
    for number, rate in enumerate(rates):
        alone = fit(features, labels, 5, rate, plan).last
        assert torch.allclose(together.weight[number], alone.weight, atol=1e-5)


def test_starts_as_published() -> None:
    heads = Heads((1.0, 2.0), 200, 500, LinearPlan(seed=1), CPU)
    assert float(heads.weight.std()) == pytest.approx(0.01, rel=0.02)
    assert torch.equal(heads.weight[0], heads.weight[1]) and not heads.bias.any()


def test_schedules() -> None:
    stepped = LinearPlan(epochs=100)
    assert [stepped.factor(epoch) for epoch in (0, 59, 60, 79, 80, 99)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = LinearPlan(epochs=10, milestones=None)
    assert cosine.factor(0) == 1 and cosine.factor(5) == pytest.approx(0.5) and 0 < cosine.factor(9) < 0.03


def test_separable_features_reach_100_percent() -> None:
    (train, labels), (test, wanted) = clusters(100, 0.2), clusters(60, 0.2, seed=1)
    choice = choose_rate(train, labels, 5, (0.3, 3.0, 30.0), LinearPlan(epochs=20))
    fitted = fit(train, labels, 5, choice.rate, LinearPlan(epochs=20), choice.epoch)
    assert score_classifier(fitted.last, test, wanted) == score_classifier(fitted.best, test, wanted)
    assert score_classifier(fitted.last, test, wanted).top1 == 1.0
    assert torch.equal(predict(fitted.last, test), wanted)


def test_choice_prefers_the_rate_that_generalises() -> None:
    features, labels = clusters(300, 2.0)
    choice = choose_rate(features, labels, 5, (1e-6, 3.0, 1e6), LinearPlan(epochs=10))
    assert choice.rate == 3.0 and choice.curves.shape == (10, 3)
    assert float(choice.curves[choice.epoch - 1, 1]) == float(choice.curves[:, 1].max())


def test_best_epoch_is_the_state_after_that_epoch() -> None:
    features, labels = clusters(100, 0.8)
    long = fit(features, labels, 5, 1.0, LinearPlan(epochs=8, milestones=(99,)), best_epoch=3)
    short = fit(features, labels, 5, 1.0, LinearPlan(epochs=3, milestones=(99,)))
    assert long.best_epoch == 3 and torch.equal(long.best.weight, short.last.weight)
    assert not torch.equal(long.best.weight, long.last.weight)


def test_hold_out_is_stratified_seeded_and_leaves_every_class_some() -> None:
    labels = torch.tensor([0] * 20 + [1] * 10 + [2] * 2 + [3])
    mask = draw_held_out(labels, 0.2, seed=0)
    assert [int(mask[labels == label].sum()) for label in range(4)] == [4, 2, 1, 0]
    assert torch.equal(mask, draw_held_out(labels, 0.2, seed=0)) and not torch.equal(mask, draw_held_out(labels, 0.2, seed=1))
    assert [int(draw_held_out(labels, 0.99, 0)[labels == label].sum()) for label in range(4)] == [19, 9, 1, 0]
    with pytest.raises(DataError, match="--hold-out 0"):
        draw_held_out(torch.arange(4), 0.2, 0)


def test_augmented_protocol_keeps_last_and_best_by_test() -> None:
    (train, labels), (test, wanted) = clusters(80, 1.2), clusters(80, 1.2, seed=5)
    asked = []

    def draw(epoch: int) -> Tensor:
        asked.append(epoch)
        noise = torch.randn(train.shape, generator=torch.Generator().manual_seed(epoch))
        return F.normalize(train + 0.05 * noise, dim=1)

    fitted = fit_augmented(draw, labels, test, wanted, classes=5, rate=30.0, plan=LinearPlan(12, 16))
    tops = [seen.top1 for seen in fitted.tested]
    assert asked == list(range(12)) and len(fitted.losses) == 12
    assert fitted.best_epoch == tops.index(max(tops)) + 1
    assert score_classifier(fitted.best, test, wanted).top1 == max(tops) and score_classifier(fitted.last, test, wanted).top1 == tops[-1]


def test_top5_counts_and_few_classes() -> None:
    features, labels = clusters(40, 3.0, classes=3)
    accuracy = score_classifier(fit(features, labels, 3, 0.1, LinearPlan(epochs=1)).last, features, labels)
    assert accuracy.top5 == 1.0 and accuracy.top1 < 1.0
