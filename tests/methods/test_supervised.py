"""Fine-tuning with labels: losses, mixing, groups, the moving average, and a resume that changes nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from datasets.loader import Batch
from datasets.views.recipes import View
from engine.checkpoint import load_trained_state, trained_state
from methods.method import Clock
from methods.supervised import Supervised, Supervision
from models.classifiers.classifier import Classifier

CLASSES = 4
VIT = {"image_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}


def make_method(*, arch: str = "deit_tiny_patch16_224", second_head: bool = False, **chosen: object) -> Supervised:
    torch.manual_seed(1)
    network = Classifier(arch, CLASSES, second_head=second_head, head_init_scale=20,
                         **(VIT if arch.startswith("deit") else {}))
    return Supervised(network, Supervision(**{"classes": CLASSES, "view": View("full", "probe", 16), **chosen})).train()


def make_batch(seed: int = 0, size: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return Batch({"v": images}, torch.arange(size), torch.randint(0, CLASSES, (size,), generator=generator))


def clock(step: int = 0) -> Clock:
    return Clock(step, 20, 0, 1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_are_smoothed_as_asked(smoothing: float) -> None:
    method, batch = make_method(smoothing=smoothing), make_batch()
    loss = method(batch, clock())
    logits = method.network(batch.views["v"])["cls"]
    torch.testing.assert_close(loss.total, F.cross_entropy(logits, batch.label, label_smoothing=smoothing))
    assert loss.stats == {"accuracy": (logits.argmax(1) == batch.label).float().mean()}


def test_every_head_learns_and_is_reported() -> None:
    method, batch = make_method(second_head=True), make_batch()
    loss = method(batch, clock())
    loss.total.backward()
    torch.testing.assert_close(loss.total, (loss.parts["cls"] + loss.parts["dist"]) / 2)
    assert all(head.weight.grad.abs().sum() > 0 for head in method.network.heads.values())
    logits = method.network(batch.views["v"])
    assert set(loss.stats) == {"accuracy", "accuracy_cls", "accuracy_dist"}
    assert loss.stats["accuracy"] == ((logits["cls"] + logits["dist"]).argmax(1) == batch.label).float().mean()


@pytest.mark.usefixtures("float64")
def test_halves_of_a_batch_add_up_to_it() -> None:
    whole, halves, batch = make_method(second_head=True), make_method(second_head=True), make_batch()
    whole(batch, clock()).total.backward()
    for half in (slice(0, 3), slice(3, 6)):
        part = Batch({"v": batch.views["v"][half]}, batch.index[half], batch.label[half])
        (halves(part, clock()).total / 2).backward()
    for (name, one), two in zip(whole.named_parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=lambda m: f"{name}: {m}")


def test_the_loss_is_float32_under_autocast() -> None:
    method = make_method(second_head=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method(make_batch(), clock())
    assert {value.dtype for value in (loss.total, *loss.parts.values())} == {torch.float32}


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("chosen", [{"mixup": 0.8}, {"cutmix": 1.0}, {"cutmix_minmax": (0.3, 0.8)}])
def test_images_and_labels_are_mixed_in_the_same_shares(mode: str, chosen: dict) -> None:
    method, batch = make_method(mixup_mode=mode, smoothing=0.1, **chosen), make_batch()
    flat = batch.views["v"].clone()
    for n, image in enumerate(batch.views["v"]):
        image[:] = 40 * n  # of one colour each, so that a share shows
    mixed = method.mix(batch, clock())
    assert not torch.equal(flat, batch.views["v"]) and mixed.images.dtype == torch.float32
    torch.testing.assert_close(mixed.soft.sum(1), torch.ones(6))
    base = F.one_hot(batch.label, CLASSES) * 0.9 + 0.1 / CLASSES
    colours, partners = torch.arange(6) * 40 / 255, torch.arange(6).flip(0)
    share = (mixed.images.mean((1, 2, 3)) - colours[partners]) / (colours - colours[partners])
    torch.testing.assert_close(mixed.soft, share[:, None] * base + (1 - share[:, None]) * base[partners])
    assert (share < 0.999).any()
    logits = torch.randn(6, CLASSES)
    torch.testing.assert_close(method.base_loss(logits, mixed), F.cross_entropy(logits, mixed.soft))


def test_mixing_depends_on_seed_step_and_micro_batch_and_leaves_numpy_alone() -> None:
    method, batch = make_method(mixup=0.8, cutmix=1.0), make_batch()

    def mix(step: int, one: Supervised = method) -> list[float]:
        return one.mix(batch, clock(step)).soft.flatten().tolist()

    np.random.seed(5)
    expected = np.random.RandomState(5).rand()
    first, second = mix(3), mix(3)
    assert first != second  # two micro-batches of one step
    method.after_step(clock(3))
    assert mix(4) not in (first, second)
    method.clear_pending()
    assert mix(3) == first and mix(3) == second
    assert mix(3, make_method(mixup=0.8, cutmix=1.0, seed=1)) != first
    assert np.random.rand() == expected


def test_an_odd_batch_cannot_be_mixed() -> None:
    with pytest.raises(ValueError, match="5 is odd"):
        make_method(mixup=0.8).mix(make_batch(size=5), clock())


def test_groups_say_rate_and_decay() -> None:
    method = make_method(layer_decay=0.5, ema_decay=0.9)
    groups = method.param_groups()
    assert sum(len(group.params) for group in groups) == len(list(method.network.parameters()))
    assert {(group.lr_scale, group.weight_decay) for group in groups} == {
        (0.25, None), (0.25, 0.0), (0.5, None), (0.5, 0.0), (1.0, None), (1.0, 0.0)}
    plain = make_method(no_weight_decay_on_vectors=False).param_groups()
    assert [(group.lr_scale, group.weight_decay) for group in plain] == [(1.0, None)]


def step_once(method: Supervised, optimizer: torch.optim.Optimizer, step: int) -> None:
    torch.manual_seed(step)
    for micro in range(2):
        (method(make_batch(2 * step + micro), clock(step)).total / 2).backward()
    optimizer.step()
    optimizer.zero_grad()
    method.after_step(clock(step))


def test_the_average_follows_weights_and_statistics_and_stays_in_eval_mode() -> None:
    method = make_method(arch="test_efficientnet", ema_decay=0.75)
    before = copy.deepcopy(method.network.state_dict())
    optimizer = torch.optim.SGD(method.network.parameters(), lr=0.1)
    step_once(method, optimizer, 0)
    now, averaged = method.network.state_dict(), method.averaged.state_dict()
    for name in ("net.conv_stem.weight", "net.bn1.running_mean", "net.classifier.bias"):
        assert not torch.equal(before[name], now[name])
        torch.testing.assert_close(averaged[name], 0.75 * before[name] + 0.25 * now[name])
    method.train()
    assert not any(module.training for module in method.averaged.modules()) and method.network.training
    assert not any(parameter.requires_grad for parameter in method.averaged.parameters())
    assert make_method().averaged is None
    assert set(method.averaged.outputs(make_batch().views["v"])) == {"cls"}


def test_a_warm_average_starts_as_the_network() -> None:
    method = make_method(ema_decay=0.9999, ema_warmup=True)
    step_once(method, torch.optim.SGD(method.network.parameters(), lr=0.1), 0)
    torch.testing.assert_close(dict(method.averaged.named_parameters()), dict(method.network.named_parameters()))


def test_a_resumed_run_is_the_same_run() -> None:
    chosen = {"mixup": 0.8, "cutmix": 1.0, "ema_decay": 0.8, "layer_decay": 0.7}
    whole, states = make_method(**chosen), {}
    optimizer = torch.optim.AdamW([{"params": group.params} for group in whole.param_groups()], lr=1e-2)
    for step in range(4):
        step_once(whole, optimizer, step)
        if step == 1:
            states = copy.deepcopy({"method": trained_state(whole), "optimizer": optimizer.state_dict()})
    again = make_method(**chosen)
    second = torch.optim.AdamW([{"params": group.params} for group in again.param_groups()], lr=1e-2)
    load_trained_state(again, states["method"])
    second.load_state_dict(states["optimizer"])
    for step in (2, 3):
        step_once(again, second, step)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert any(name.startswith("ema.") for name in whole.state_dict())


def test_statistics_stay_where_they_are_frozen() -> None:
    method = make_method(arch="test_efficientnet", frozen_bn=True, ema_decay=0.5)
    before = method.network.net.bn1.running_mean.clone()
    method(make_batch(), clock())
    assert torch.equal(method.network.net.bn1.running_mean, before)


def test_a_few_images_are_learnt_by_heart() -> None:
    method, batch = make_method(second_head=True, smoothing=0.0), make_batch()
    optimizer = torch.optim.AdamW([{"params": group.params} for group in method.param_groups()], lr=1e-2)
    for _ in range(40):
        loss = method(batch, clock())
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
    method.eval()
    logits = method.outputs(batch.views["v"])
    assert list(logits) == ["cls", "dist", "average"] and method.views() == {"v": View("full", "probe", 16)}
    assert all((value.argmax(1) == batch.label).all() for value in logits.values())
