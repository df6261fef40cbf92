"""PIM's losses against their definitions and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from losses.pim import average_positions, dropped_loss, selected_loss


def test_dropped_loss_is_the_mean_squared_distance_to_minus_one() -> None:
    logits, dropped = torch.randn(3, 7, 5, requires_grad=True), torch.zeros(3, 7, dtype=torch.bool)
    for image, places in enumerate(([0, 3], [6, 1], [2, 5])):
        dropped[image, places] = True
    found = dropped_loss(logits, dropped)
    plain = torch.stack([F.mse_loss(torch.tanh(logits[b][dropped[b]]), torch.full((2, 5), -1.0)) for b in range(3)])
    torch.testing.assert_close(found, plain)
    (slope,) = torch.autograd.grad(found.mean(), logits)
    (expected,) = torch.autograd.grad(plain.mean(), logits)
    torch.testing.assert_close(slope, expected)
    assert (slope[~dropped] == 0).all() and (slope[dropped] != 0).any(dim=-1).all()


@pytest.mark.parametrize("value, loss", [(0.0, 1.0), (1e4, 4.0), (-1e4, 0.0), (0.5, (math.tanh(0.5) + 1) ** 2)])
def test_dropped_loss_of_one_number(value: float, loss: float) -> None:
    assert dropped_loss(torch.full((1, 4, 3), value), torch.ones(1, 4, dtype=torch.bool)).item() == pytest.approx(loss)


def test_nothing_dropped_is_no_loss_and_not_nan() -> None:
    logits = torch.randn(2, 4, 3, requires_grad=True)
    found = dropped_loss(logits, torch.zeros(2, 4, dtype=torch.bool))
    assert found.tolist() == [0, 0]
    assert (torch.autograd.grad(found.sum(), logits)[0] == 0).all()


def test_small_losses_of_dropped_positions_beside_large_ones_of_kept_keep_their_digits() -> None:
    logits, dropped = torch.full((1, 3000, 200), 5.0), torch.zeros(1, 3000, dtype=torch.bool)
    logits[0, :8], dropped[0, :8] = -4.0, True
    expected = (math.tanh(-4.0) + 1) ** 2
    assert dropped_loss(logits, dropped).item() == pytest.approx(expected, rel=1e-3)


def test_selected_loss_asks_every_position_for_its_images_label() -> None:
    logits, labels = torch.randn(2, 3, 4), torch.tensor([1, 3])
    plain = torch.stack([torch.stack([F.cross_entropy(logits[b, s], labels[b]) for s in range(3)]).mean()
                         for b in range(2)])
    torch.testing.assert_close(selected_loss(logits, labels), plain)
    torch.testing.assert_close(selected_loss(logits, F.one_hot(labels, 4).float()), plain)
    smooth = 0.9 * plain - 0.1 * logits.log_softmax(-1).mean(dim=(1, 2))
    torch.testing.assert_close(selected_loss(logits, labels, 0.1), smooth)
    assert selected_loss(torch.zeros(1, 2, 8), torch.tensor([0])).item() == pytest.approx(math.log(8))


def test_losses_are_float32_islands() -> None:
    logits = torch.randn(2, 600, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = [dropped_loss(logits, torch.ones(2, 600, dtype=torch.bool)), average_positions(logits),
                 selected_loss(logits, torch.tensor([0, 1]))]
    assert {value.dtype for value in found} == {torch.float32}
    torch.testing.assert_close(found[1], logits.float().mean(1))
