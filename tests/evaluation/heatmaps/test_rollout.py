"""Attention roll-out against the formula written out, on plain and distilled transformers; other networks have none."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from evaluation.heatmaps.rollout import RollOut, attention_layers, watch_attention

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2, "num_classes": 4}


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 32, 32)


def naive(network: VisionTransformer, images: Tensor) -> Tensor:
    """Abnar and Zuidema's recursion, with every block's attention computed from its queries and keys."""
    tokens = network.norm_pre(network._pos_embed(network.patch_embed(images)))
    rolled = torch.eye(tokens.shape[1]).repeat(len(images), 1, 1)
    for block in network.blocks:
        seen = block.norm1(tokens)
        query, key, _ = block.attn.qkv(seen).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        attention = (query @ key.transpose(2, 3) / 8**0.5).softmax(dim=-1)
        mixed = attention.mean(dim=1) + torch.eye(tokens.shape[1])
        rolled = mixed / mixed.sum(dim=2, keepdim=True) @ rolled
        tokens = block(tokens)
    return rolled


@torch.no_grad()
@pytest.mark.parametrize(("family", "names"), [(VisionTransformer, ["rollout_cls"]),
                                               (VisionTransformerDistilled, ["rollout_cls", "rollout_dist"])])
def test_it_is_the_recursion_and_the_network_is_left_as_it_was(family: type, names: list[str], images: Tensor) -> None:
    network = family(**SMALL).eval()
    for block in network.blocks:  # random attention is all but uniform
        block.attn.qkv.weight.mul_(30)
    before, answer = [block.attn.fused_attn for block in network.blocks], network(images)
    with watch_attention(network) as rolling:
        torch.testing.assert_close(network(images), answer)
    assert [block.attn.fused_attn for block in network.blocks] == before
    assert not any(block.attn.attn_drop._forward_hooks for block in network.blocks)
    expected = naive(network, images)
    torch.testing.assert_close(rolling.rolled, expected)
    found = rolling.maps(network)
    assert list(found) == names
    for place, name in enumerate(names):
        torch.testing.assert_close(found[name], expected[:, place, len(names):])
    if len(names) == 2:
        assert not torch.allclose(found["rollout_cls"], found["rollout_dist"])


@torch.no_grad()
def test_registers_are_neither_patches_nor_a_distillation_token(images: Tensor) -> None:
    network = VisionTransformer(**SMALL, reg_tokens=3).eval()
    with watch_attention(network) as rolling:
        network(images)
    assert {name: value.shape for name, value in rolling.maps(network).items()} == {"rollout_cls": (2, 16)}


def test_uniform_attention_rolls_out_to_a_uniform_map() -> None:
    rolling = RollOut()
    for _ in range(2):
        rolling.add(torch.full((1, 2, 5, 5), 0.2))
    torch.testing.assert_close(rolling.rolled.sum(dim=2), torch.ones(1, 5))
    torch.testing.assert_close(rolling.rolled[0, 0, 1:], torch.full((4,), 0.15))  # 0.2 (1 - 1/4): half stays twice


@pytest.mark.parametrize("arch", ["resnet18", "swin_tiny_patch4_window7_224", "beit_base_patch16_224"])
def test_networks_without_such_tokens_have_no_layers(arch: str) -> None:
    with torch.device("meta"):
        assert attention_layers(timm.create_model(arch)) == []
    assert attention_layers(nn.Linear(2, 2)) == []
