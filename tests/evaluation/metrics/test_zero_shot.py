"""Zero-shot accuracy against counting by hand."""

from __future__ import annotations

import pytest
import torch

from evaluation.metrics.zero_shot import nearest_rows, zero_shot
from runtime.errors import DataError


def test_accuracy_and_confusion_of_known_features() -> None:
    rows = torch.eye(6)
    guesses = torch.tensor([0, 0, 1, 2, 5, 3])
    labels = torch.tensor([0, 1, 1, 2, -1, 4])
    features = torch.eye(6)[guesses] * 3 + 0.01 * torch.tensor([6.0, 5, 4, 3, 2, 1])  # ties broken: earlier rows next
    found = zero_shot(features, rows, labels)
    assert found.top1 == pytest.approx(3 / 5) and found.top5 == pytest.approx(1.0)
    assert found.confusion[1].tolist() == [1, 1, 0, 0, 0, 0] and int(found.confusion.sum()) == 5
    assert found.per_class[:3].tolist() == [1.0, 0.5, 1.0] and bool(found.per_class[5].isnan())
    assert found.worst_pairs() == [(1, 0, 1), (4, 3, 1)]


def test_nearest_rows_agree_with_a_plain_product_and_ties_go_to_the_lower_row() -> None:
    features, rows = torch.randn(300, 8), torch.randn(20, 8)
    expected = torch.nn.functional.normalize(features, dim=1) @ torch.nn.functional.normalize(rows, dim=1).T
    assert torch.equal(nearest_rows(features, rows).flatten(), expected.argmax(dim=1))
    assert nearest_rows(torch.ones(1, 3), torch.ones(4, 3), k=3).tolist() == [[0, 1, 2]]


def test_without_labels_there_is_no_number() -> None:
    with pytest.raises(DataError, match="no image has a label"):
        zero_shot(torch.randn(3, 4), torch.randn(2, 4), torch.full((3,), -1))
