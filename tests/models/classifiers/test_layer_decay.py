"""Layers of networks, their share of the learning rate, and what weight decay leaves alone."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from models.classifiers.classifier import Classifier
from models.classifiers.layer_decay import decay_groups, layer_ids

VIT = {"image_size": 32, "patch_size": 16, "embed_dim": 16, "depth": 3, "num_heads": 2}


def on_meta(arch: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(arch, num_classes=200)


def test_convnext_base_has_the_14_layers_of_its_authors() -> None:
    net = on_meta("convnext_base")
    layers = layer_ids(net)
    assert layers.count == 14 and set(layers.ids.values()) == set(range(14))
    assert sum(p.numel() for p in net.parameters()) == 87_771_464
    expected = {"stem.0.weight": 0, "stages.0.blocks.2.gamma": 1, "stages.1.downsample.1.weight": 2,
                "stages.1.blocks.0.mlp.fc1.bias": 2, "stages.2.downsample.0.weight": 3,
                "stages.2.blocks.2.norm.weight": 3, "stages.2.blocks.3.norm.weight": 4,
                "stages.2.blocks.26.norm.weight": 11, "stages.3.downsample.1.bias": 12,
                "stages.3.blocks.0.gamma": 12, "head.norm.weight": 13, "head.fc.weight": 13}
    assert {name: layers.ids[name] for name in expected} == expected
    assert layers.scale("head.fc.weight", 0.7) == 1
    assert layers.scale("stem.0.weight", 0.7) == pytest.approx(0.7**13) == pytest.approx(0.00969, abs=5e-6)


def test_a_shallower_convnext_has_fewer_layers_without_a_gap() -> None:
    layers = layer_ids(on_meta("convnext_tiny"))
    assert layers.count == 8 and set(layers.ids.values()) == set(range(8))


@pytest.mark.parametrize("arch", ["deit_base_distilled_patch16_384", "deit_base_patch16_384"])
def test_a_transformer_has_a_layer_for_each_block(arch: str) -> None:
    layers = layer_ids(on_meta(arch))
    assert layers.count == 14
    for name, layer in layers.ids.items():
        if name.startswith("blocks."):
            assert layer == int(name.split(".")[1]) + 1
        else:
            assert layer == (13 if name.startswith(("norm", "head")) else 0), name


@pytest.mark.parametrize("arch", ["tf_efficientnet_lite0", "resnet18"])
def test_other_networks_are_cut_where_timm_cuts_them(arch: str) -> None:
    net = on_meta(arch)
    layers = layer_ids(net)
    names = [name for name, _ in net.named_parameters()]
    assert list(layers.ids) == names and set(layers.ids.values()) == set(range(layers.count))
    assert layers.ids[names[0]] == 0 and layers.ids[names[-1]] == layers.count - 1


def test_groups_hold_everything_once_with_rate_and_decay() -> None:
    network = Classifier("deit_tiny_distilled_patch16_224", 5, **VIT)
    groups = decay_groups(network, layer_decay=0.5)
    names = [name for group in groups for name in group.names]
    assert sorted(names) == sorted(name for name, _ in network.named_parameters())
    found = {name: group for group in groups for name in group.names}
    for name, parameter in network.named_parameters():
        spared = parameter.ndim == 1 or name in ("net.cls_token", "net.dist_token", "net.pos_embed")
        assert found[name].decays != spared, name
        assert any(parameter is one for one in found[name].params)
    scales = {"net.patch_embed.proj.weight": 0.5**4, "net.pos_embed": 0.5**4, "net.blocks.0.attn.qkv.weight": 0.5**3,
              "net.blocks.2.attn.qkv.weight": 0.5, "net.head_dist.weight": 1, "net.norm.weight": 1}
    assert {name: found[name].lr_scale for name in scales} == scales


def test_a_head_beside_the_backbone_learns_at_the_full_rate() -> None:
    network = Classifier("test_efficientnet", 5, second_head=True)
    groups = decay_groups(network, backbone_lr_scale=0.1, spare_vectors=False)
    assert all(group.decays for group in groups)
    fast = [name for group in groups if group.lr_scale == 1 for name in group.names]
    assert fast == ["net.classifier.weight", "net.classifier.bias", "head_dist.weight", "head_dist.bias"]
    assert {group.lr_scale for group in groups} == {1.0, 0.1}


class Wrapped(nn.Module):
    """A network of one's own with something on top."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.top = nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Linear(4, 2)


def test_a_backbone_of_ones_own_needs_no_layers_unless_they_decay() -> None:
    scales = {name: group.lr_scale for group in decay_groups(Wrapped(), backbone_lr_scale=0.5) for name in group.names}
    assert scales == {"backbone.0.weight": 0.5, "backbone.0.bias": 0.5, "top.weight": 1, "top.bias": 1}
    with pytest.raises(ValueError, match="layer decay of 1"):
        decay_groups(Wrapped(), layer_decay=0.9)
