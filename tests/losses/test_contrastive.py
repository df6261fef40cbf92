"""InfoNCE against a naive sum, analytic values, the own-image mask."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losses.contrastive import contrast_logits, info_nce, own_image_mask, self_mass


def unit_rows(count: int, dim: int = 8, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def naive(query: Tensor, key: Tensor, negatives: Tensor, temperature: float, mask: Tensor | None) -> list[float]:
    losses = []
    for b in range(len(query)):
        kept = [j for j in range(len(negatives)) if mask is None or not mask[b, j]]
        top = math.exp(float(query[b] @ key[b]) / temperature)
        rest = sum(math.exp(float(query[b] @ negatives[j]) / temperature) for j in kept)
        losses.append(-math.log(top / (top + rest)))
    return losses


@pytest.mark.parametrize("masked", [False, True])
def test_info_nce_is_the_naive_sum(masked: bool) -> None:
    query, key, negatives = unit_rows(4, seed=1), unit_rows(4, seed=2), unit_rows(11, seed=3)
    mask = torch.rand(4, 11, generator=torch.Generator().manual_seed(4)) < 0.4 if masked else None
    expected = naive(query, key, negatives, 0.27, mask)
    assert info_nce(query, key, negatives, 0.27, mask).tolist() == pytest.approx(expected, abs=1e-5)


def test_equal_logits_give_log_of_their_number() -> None:
    query = unit_rows(1).expand(3, -1)
    loss = info_nce(query, query, query[:1].expand(17, -1), 0.07)
    assert loss.tolist() == pytest.approx([math.log(18)] * 3, abs=1e-5)


def test_own_key_among_negatives_puts_a_floor_of_log_two() -> None:
    query = torch.eye(4)
    negatives = torch.cat([query, -torch.eye(4)])
    assert info_nce(query, query, negatives, 0.02).tolist() == pytest.approx([math.log(2)] * 4, abs=1e-5)
    mask = own_image_mask(torch.arange(4), torch.cat([torch.arange(4), torch.full((4,), -1)]))
    assert info_nce(query, query, negatives, 0.02, mask).max() < 1e-5


def test_everything_masked_leaves_no_loss_and_a_finite_gradient() -> None:
    query = unit_rows(2).requires_grad_()
    loss = info_nce(query, unit_rows(2, seed=5), unit_rows(3, seed=6), 0.2, torch.ones(2, 3, dtype=torch.bool))
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([0, 0], abs=1e-6) and torch.isfinite(query.grad).all()


def test_masked_keys_get_no_pull() -> None:
    query, negatives = unit_rows(2), unit_rows(5, seed=2).requires_grad_()
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[:, 3] = True
    info_nce(query, unit_rows(2, seed=1), negatives, 0.2, mask).sum().backward()
    assert negatives.grad[3].abs().max() == 0 and negatives.grad[2].abs().max() > 0


def test_half_precision_inputs_give_float32() -> None:
    rows = unit_rows(2).bfloat16()
    assert info_nce(rows, rows, rows, 0.2).dtype == torch.float32


def test_gradient() -> None:
    query = unit_rows(2, 4).double().requires_grad_()
    # The loss computes in float32, so steps and tolerances are those of float32.
    assert torch.autograd.gradcheck(
        lambda q: info_nce(q, unit_rows(2, 4, 1), unit_rows(5, 4, 2), 0.5).double(), query, eps=1e-2, atol=1e-2
    )


def test_empty_slots_belong_to_nobody() -> None:
    mask = own_image_mask(torch.tensor([0, 7]), torch.tensor([-1, 7, 0, 7]))
    assert mask.tolist() == [[False, False, True, False], [False, True, False, True]]


def test_self_mass_counts_own_keys_in_the_softmax() -> None:
    query = unit_rows(1).expand(2, -1)
    logits = contrast_logits(query, query, query[:1].expand(9, -1), 0.2)
    own = torch.zeros(2, 9, dtype=torch.bool)
    own[1, :4] = True
    assert self_mass(logits, own).tolist() == pytest.approx([0, 0.4], abs=1e-6)
