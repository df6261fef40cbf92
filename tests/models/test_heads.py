"""Heads: shapes, names, widths."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import Ridge

from models.heads import LinearHead, ProjectionHead, build_head


def test_mlp_keeps_the_names_of_moco_files() -> None:
    head = ProjectionHead(6, 5, 4)
    assert list(head.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    inputs = torch.randn(3, 6)
    hidden = (inputs @ head[0].weight.T + head[0].bias).clamp_min(0)
    torch.testing.assert_close(head(inputs), hidden @ head[2].weight.T + head[2].bias)


@pytest.mark.parametrize("widths, kind", [([6, 5, 4], ProjectionHead), ([6, 4], LinearHead)])
def test_widths_rebuild_a_head(widths: list[int], kind: type) -> None:
    head = build_head(widths)
    assert type(head) is kind and head.widths == widths and head(torch.randn(2, 6)).shape == (2, 4)


def test_fit_is_the_ridge_regression_of_its_hidden_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    features, targets = torch.rand(40, 12, generator=generator) * 3, torch.randn(40, 5, generator=generator)
    head = ProjectionHead(12, 9, 5)
    head.fit(features, targets, ridge=0.7, seed=3)
    hidden = head[1](head[0](features)).detach().numpy()
    oracle = Ridge(alpha=0.7).fit(hidden, targets.numpy())
    torch.testing.assert_close(head(features), torch.from_numpy(oracle.predict(hidden)).float(), atol=1e-4, rtol=1e-4)


def test_fitted_first_layer_turns_centred_features_of_mean_length_one() -> None:
    features = torch.rand(30, 8) * 5 + 2
    head = ProjectionHead(8, 8, 2)
    head.fit(features, torch.randn(30, 2), ridge=1.0)
    turned = head[0](features).detach() / 2**0.5
    lengths = (features - features.mean(0)).norm(dim=1)
    torch.testing.assert_close(turned.norm(dim=1), lengths / lengths.mean(), atol=1e-4, rtol=1e-4)


def test_a_wide_fitted_head_reaches_its_targets_and_a_strong_ridge_their_mean() -> None:
    features, targets = torch.randn(10, 6), torch.randn(10, 3)
    head = ProjectionHead(6, 64, 3)
    head.fit(features, targets, ridge=1e-6)
    torch.testing.assert_close(head(features), targets, atol=1e-2, rtol=1e-2)
    head.fit(features, targets, ridge=1e9)
    torch.testing.assert_close(head(features), targets.mean(0).expand(10, 3), atol=1e-3, rtol=1e-3)
