"""Heads: shapes, names, widths."""

from __future__ import annotations

import pytest
import torch

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
