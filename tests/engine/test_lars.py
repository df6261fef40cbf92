"""LARS against its formulas, written out in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from benchmarks.reference.lcr import PlainLars
from engine.flags.pretrain.arguments import parse
from engine.lars import Lars
from engine.optimizer import adapted_groups
from engine.workflows.pretrain.system import make_pretrain_optimizer
from methods.method import Method, ParamGroup

WORDS = ["--root", "x", "--pretrained", "none", "--device", "cpu", "--method", "byol"]


class Layer(Method):
    """A layer's weight and bias, in double precision."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(4, 5, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(4, generator=generator, dtype=torch.float64))

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.weight, self.bias])]

    views = forward = encoder = None


def give_gradients(layer: Layer, step: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step)
    for weight in (layer.weight, layer.bias):
        weight.grad = scale * torch.randn(weight.shape, generator=generator, dtype=torch.float64)


def naive(weight: Tensor, decay: float, momentum: float, joint: bool, steps: int, scale: float) -> Tensor:
    """The steps of LARS on the layer's weight, number after number."""
    weight, velocity, twin = weight.detach().clone(), torch.zeros_like(weight), Layer()
    for step in range(steps):
        give_gradients(twin, step, scale)
        slope = twin.weight.grad
        change = slope + decay * weight
        w, g, both = (sum(float(v) ** 2 for v in values.flatten()) ** 0.5 for values in (weight, slope, change))
        below = both if joint else g + decay * w
        velocity = momentum * velocity + (1e-3 * w / below if below > 0 else 1.0) * change
        weight = weight - 0.25 * velocity
    return weight


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("decay", [0.0, 1.5e-6, 0.5])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_steps_are_the_formulas(joint: bool, decay: float, momentum: float, scale: float) -> None:
    layer = Layer()
    expected = naive(layer.weight, decay, momentum, joint, 3, scale)
    optimizer = Lars(adapted_groups(layer, decay), lr=0.25, momentum=momentum, joint=joint)
    for step in range(3):
        give_gradients(layer, step, scale)
        optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-12, atol=1e-14)


def test_the_seed_recipe_is_the_public_codes_and_stays_lars_without_decay() -> None:
    for words, decay in (([], 1.5e-6), (["--wd", "0"], 0.0), (["--weight_decay=0.3"], 0.3)):
        ours, plain = Layer(), Layer()
        optimizer = make_pretrain_optimizer(parse([*WORDS, "--recipe", "seed", "--scale-lr", "false", *words]), ours)
        public = PlainLars(plain, lr=0.3, decay=decay)
        for step in range(3):
            give_gradients(ours, step)
            give_gradients(plain, step)
            optimizer.step()
            public.step()
        torch.testing.assert_close(ours.weight, plain.weight, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(ours.bias, plain.bias, rtol=1e-12, atol=1e-14)


def test_a_step_without_decay_has_a_thousandth_of_the_weights_length() -> None:
    for recipe in ("default", "seed"):
        layer = Layer()
        before = layer.weight.detach().clone()
        optimizer = make_pretrain_optimizer(parse([*WORDS, "--recipe", recipe, "--wd", "0", "--momentum", "0"]), layer)
        for group in optimizer.param_groups:
            group["lr"] = 1.0
        give_gradients(layer, 0, 1000.0)
        optimizer.step()
        assert float((before - layer.weight.detach()).norm() / before.norm()) == pytest.approx(1e-3, rel=1e-9)


def test_what_the_ratios_differ_in() -> None:
    """|w| = 6, |g| = 2, g against w: apart divides by 2 + 6 d, joint by 6 d - 2."""
    moved = []
    for joint in (False, True):
        weight = nn.Parameter(torch.full((2, 2), 3.0, dtype=torch.float64))
        weight.grad = -torch.ones(2, 2, dtype=torch.float64)
        Lars([{"params": [weight], "weight_decay": 0.5}], lr=1.0, momentum=0.0, joint=joint).step()
        moved.append(3.0 - float(weight.detach()[0, 0]))
    assert moved == pytest.approx([1e-3 * 6 / 5 * 0.5, 1e-3 * 6 / 1 * 0.5])


def test_older_checkpoints_go_on_where_they_were() -> None:
    from timm.optim import Lars as Timms

    old, new = Layer(), Layer()
    groups = [{"params": [old.weight], "weight_decay": 1e-3}, {"params": [old.bias], "weight_decay": 0.0}]
    before = Timms(groups, lr=0.25, momentum=0.9, trust_coeff=1e-3)
    after = Lars(adapted_groups(new, 1e-3), lr=0.25, momentum=0.9)
    for step in range(4):
        give_gradients(old, step)
        before.step()
        if step == 1:
            after.load_state_dict(copy.deepcopy(before.state_dict()))
            new.load_state_dict(old.state_dict())
        elif step > 1:
            give_gradients(new, step)
            after.step()
    torch.testing.assert_close(new.weight, old.weight, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(new.bias, old.bias, rtol=1e-12, atol=1e-14)
