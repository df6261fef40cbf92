"""Levels: where they are tapped, what shape they have, and what no level needs."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import timm
import torch
from torch import Tensor, nn

from models.plug_in.levels import Levels, LevelShape, as_tokens
from runtime.errors import WeightsError


class TwoStages(nn.Module):
    """A small backbone that returns its levels itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.unused = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        first = self.first(images)
        return OrderedDict(a=first, b=self.second(first))


class LooksAtNumbers(TwoStages):
    """Its forward depends on a number, which a meta tensor does not have."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return super().forward(images if images.sum().item() > -1e9 else -images)


class Tokens(nn.Module):
    """[B, 2 + S, C]: two tokens before the positions."""

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.embed, self.block = nn.Linear(3, 6), nn.Linear(6, 6)
        self.positions = positions

    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten(2).transpose(1, 2)[:, : self.positions + 2]
        return self.block(self.embed(rows))


@pytest.mark.parametrize("kind", [TwoStages, LooksAtNumbers])
def test_a_backbone_that_returns_a_dictionary(kind: type[TwoStages]) -> None:
    levels = Levels(kind(), None, image_size=32).train()
    assert levels.shapes == {"layer1": LevelShape(8, 16, 16), "layer2": LevelShape(16, 8, 8)}
    assert levels.training and levels.net.first.training
    assert not levels.net.unused.weight.requires_grad and levels.net.second.weight.requires_grad
    found = levels(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert list(found) == ["layer1", "layer2"] and found["layer2"].shape == (2, 16, 8, 8)


def test_modules_are_heard_and_copies_share_nothing() -> None:
    net = timm.create_model("resnet18", num_classes=0).eval()
    levels = Levels(net, ("layer2", "layer4"), image_size=64)
    assert levels.shapes == {"layer1": LevelShape(128, 8, 8), "layer2": LevelShape(512, 2, 2)}
    images = torch.rand(2, 3, 64, 64)
    twin = copy.deepcopy(levels)
    with torch.no_grad():
        expected = net.forward_intermediates((images - levels.mean) / levels.std, intermediates_only=True)
        twin.net.conv1.weight.zero_()
        twin(images)
        found = levels(images)
    torch.testing.assert_close(found["layer1"], expected[2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["layer2"], expected[4], rtol=1e-4, atol=1e-4)
    assert not any(module._forward_hooks for module in levels.modules())


def test_uint8_and_float_images_are_standardised_alike() -> None:
    levels = Levels(TwoStages(), None, image_size=32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    bytes_ = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(levels(bytes_)["layer1"], levels(bytes_ / 255)["layer1"])
    plain = levels.net.first((bytes_ / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1))
                             / torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1))
    torch.testing.assert_close(levels(bytes_)["layer1"], plain, rtol=1e-4, atol=1e-4)


def test_tokens_lose_their_prefix_and_know_their_grid() -> None:
    square = Levels(Tokens(49), ("embed", "block"), image_size=16, prefix_tokens=2)
    assert square.shapes == {"layer1": LevelShape(6, 7, 7), "layer2": LevelShape(6, 7, 7)}
    images = torch.rand(2, 3, 16, 16)
    whole = square.net((images - square.mean) / square.std)
    torch.testing.assert_close(square(images)["layer2"], whole[:, 2:], rtol=1e-4, atol=1e-4)
    odd = Levels(Tokens(50), ("embed",), image_size=16, prefix_tokens=2)
    assert odd.shapes["layer1"] == LevelShape(6, 50, 1)


def test_the_class_token_of_a_vit_is_no_position_and_its_norm_needs_no_gradient() -> None:
    with torch.device("meta"):
        net = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2)
        named = Levels(net, ("blocks.0", "blocks.1"), image_size=224)
    assert named.shapes["layer2"] == LevelShape(192, 14, 14)
    assert [name for name, p in net.named_parameters() if not p.requires_grad] == ["norm.weight", "norm.bias"]


def test_swin_taps_are_the_outputs_behind_the_merging_of_patches() -> None:
    net = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, img_size=64, window_size=2,
                            depths=(1, 1, 1, 1), embed_dim=24, num_heads=(1, 2, 4, 8)).eval()
    taps = ("layers.1.downsample", "layers.2.downsample", "layers.3.downsample", "layers.3")
    levels = Levels(net, taps, image_size=64)
    assert [(s.channels, s.positions) for s in levels.shapes.values()] == [(48, 64), (96, 16), (192, 4), (192, 4)]
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        x = net.patch_embed((images - levels.mean) / levels.std)
        legacy = []
        for place, layer in enumerate(net.layers):  # stages as the public code cuts them: merging comes last
            x = layer.blocks(x)
            if place < 3:
                x = net.layers[place + 1].downsample(x)
            legacy.append(x.flatten(1, 2))
        found = [as_tokens(level) for level in levels(images).values()]
    for own, old in zip(found, legacy, strict=True):
        torch.testing.assert_close(own, old, rtol=1e-4, atol=1e-4)


def test_indices_are_those_of_forward_intermediates() -> None:
    levels = Levels(timm.create_model("resnet18", num_classes=0), (-2, -1), image_size=64)
    assert levels.shapes == {"layer1": LevelShape(256, 4, 4), "layer2": LevelShape(512, 2, 2)}


@pytest.mark.parametrize("taps, word", [(("layer9", "layer1", "stem"), "layer9, stem"), ((), "at least one"),
                                        ((1, "layer1"), "one kind")])
def test_taps_that_are_not_there_are_named(taps: tuple, word: str) -> None:
    with pytest.raises(WeightsError, match=word):
        Levels(timm.create_model("resnet18", num_classes=0), taps, image_size=64)


def test_a_module_that_does_not_run_or_has_no_map_is_refused() -> None:
    with pytest.raises(WeightsError, match="unused"):
        Levels(TwoStages(), ("first", "unused"), image_size=32)
    with pytest.raises(WeightsError, match="forward_intermediates"):
        Levels(TwoStages(), (0, 1), image_size=32)


def test_a_channels_last_map_becomes_tokens_without_a_copy() -> None:
    level = torch.rand(2, 5, 3, 4).to(memory_format=torch.channels_last)
    tokens = as_tokens(level)
    assert tokens.is_contiguous() and tokens.data_ptr() == level.data_ptr()
    assert torch.equal(tokens[1, 4 * 2 + 3], level[1, :, 2, 3])
