"""The vectorised loss is the loop over anchors, in value and gradient, whatever sets are empty."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.obdsd import plain_multi_similarity
from losses.metric.multisimilarity import multi_similarity_of


def unit_rows(count: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1).requires_grad_()


def value_and_gradient(loss, rows: Tensor, labels: Tensor, **options: float) -> tuple[Tensor, Tensor]:
    value = loss(rows, labels, **options)
    return value.detach(), torch.autograd.grad(value, rows)[0]


@pytest.mark.parametrize("labels", [
    [0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 2, 3, 4, 4, 5],  # some classes occur once
    [0, 1, 2, 3, 4, 5, 6, 7], [0] * 8])  # no positives at all, no negatives at all
@pytest.mark.parametrize("dim", [2, 3, 32])
def test_equals_the_loop(labels: list[int], dim: int) -> None:
    rows, classes = unit_rows(len(labels), dim, seed=dim), torch.tensor(labels)
    ours, plain = (value_and_gradient(loss, rows, classes) for loss in (multi_similarity_of, plain_multi_similarity))
    torch.testing.assert_close(ours[0], plain[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(ours[1], plain[1], atol=1e-6, rtol=0)
    if len(set(labels)) in (1, len(labels)):
        assert ours[0] == 0 and not ours[1].any()
    else:
        assert ours[1].any()


def test_equals_the_loop_with_other_settings_and_in_single_precision() -> None:
    options = {"pos_weight": 5.0, "neg_weight": 11.0, "margin": 0.3, "threshold": 0.1}
    rows, labels = unit_rows(24, 6, seed=1), torch.arange(24) // 3
    ours = value_and_gradient(multi_similarity_of, rows, labels, **options)
    torch.testing.assert_close(ours, value_and_gradient(plain_multi_similarity, rows, labels, **options))
    single = value_and_gradient(multi_similarity_of, rows.detach().float().requires_grad_(), labels, **options)
    torch.testing.assert_close(single[1].double(), ours[1], atol=1e-6, rtol=0)


def test_well_separated_classes_cost_nothing() -> None:
    rows = torch.eye(4)[[0, 0, 1, 1, 2, 2]].requires_grad_()
    assert multi_similarity_of(rows, torch.tensor([0, 0, 1, 1, 2, 2])) == 0


def test_stays_in_single_precision_under_autocast() -> None:
    rows, labels = unit_rows(8, 4, seed=3).detach().float(), torch.arange(8) // 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = multi_similarity_of(rows, labels)
    assert inside.dtype == torch.float32 and inside == multi_similarity_of(rows, labels)
