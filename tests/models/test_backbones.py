"""Backbones: maps of every family, normalisation, frozen statistics, and real weights on real photographs."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from models import backbones
from models.arch_names import resolve_arch
from models.backbones import Backbone, build_backbone, build_classifier, freeze_batch_norm
from models.weights.files import find_package_weights
from runtime.errors import WeightsError


def _images(count: int = 2, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("arch", "side", "expected"),
    [
        ("resnet10t", 64, (512, 2, 2)),
        ("tf_efficientnet_lite0", 64, (1280, 2, 2)),
        ("vit_tiny_patch16_224", 96, (192, 6, 6)),
        ("deit_tiny_distilled_patch16_224", 96, (192, 6, 6)),
        ("xcit_nano_12_p16_224", 64, (128, 4, 4)),
        ("swin_tiny_patch4_window7_224", 224, (768, 7, 7)),
        ("convnext_atto", 64, (320, 2, 2)),
        ("mobilenetv3_small_050", 64, (288, 2, 2)),
    ],
)
def test_every_family_gives_a_map(arch: str, side: int, expected: tuple[int, int, int]) -> None:
    backbone = Backbone(arch).eval()
    feature_map = backbone(_images(side=side))
    assert feature_map.shape == (2, *expected) and backbone.num_features == expected[0]
    assert backbone.pool(feature_map).allclose(feature_map.flatten(2).mean(2), atol=1e-6)
    backbone.pool(feature_map).sum().backward()
    unused = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []


def test_vit_map_is_laid_out_row_by_row() -> None:
    backbone = Backbone("vit_tiny_patch16_224").eval()
    images = _images(1, 64)
    with torch.no_grad():
        tokens = backbone.net.forward_features(backbone.normalise(images))
        feature_map = backbone(images)
    assert torch.equal(feature_map[0, :, 1, 2], tokens[0, 1 + 1 * 4 + 2])


def test_intermediate_is_the_map_before_the_expansion() -> None:
    backbone = Backbone("tf_efficientnet_lite0").eval()
    with torch.no_grad():
        assert backbone.intermediate(_images(1, 448)).shape == (1, 320, 14, 14)
        assert backbone.intermediate(_images(1, 64), layer=0).shape == (1, 16, 32, 32)


@pytest.mark.parametrize(("arch", "mean", "std"), [("resnet50", 0.485, 0.229), ("tf_efficientnet_lite0", 0.5, 0.5)])
def test_input_is_normalised_as_the_weights_expect(arch: str, mean: float, std: float) -> None:
    with torch.device("meta"):
        network = timm.create_model(arch)
    assert network.pretrained_cfg["mean"][0] == mean
    backbone = Backbone(arch)
    whole = torch.full((1, 3, 8, 8), 51, dtype=torch.uint8)
    expected = (51 / 255 - mean) / std
    assert backbone.normalise(whole)[0, 0].allclose(torch.tensor(expected), atol=1e-6)
    assert backbone.normalise(whole / 255).allclose(backbone.normalise(whole), atol=1e-6)
    assert "mean" not in backbone.state_dict()


def test_input_follows_type_and_memory_format() -> None:
    backbone = Backbone("resnet10t").to(memory_format=torch.channels_last).bfloat16()
    images = backbone.normalise(_images())
    assert images.dtype == torch.bfloat16 and images.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_and_autocast_agree_with_plain() -> None:
    torch.manual_seed(0)
    plain = Backbone("resnet10t").eval()
    fast = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = plain(_images())
        assert fast(_images()).allclose(expected, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.cosine_similarity(fast(_images()).float().flatten(1), expected.flatten(1)).min() > 0.99


def test_frozen_statistics_survive_train_and_a_copy() -> None:
    backbone = Backbone("resnet10t")
    count = freeze_batch_norm(backbone)
    assert count == sum(isinstance(part, nn.BatchNorm2d) for part in backbone.modules())
    twin = copy.deepcopy(backbone)
    for network in (backbone, twin):
        before = copy.deepcopy(network.state_dict())
        network.train()
        network(_images()).sum().backward()
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        assert network.net.bn1.weight.grad is not None and network.net.bn1.weight.requires_grad
    live = Backbone("resnet10t").train()
    mean = live.net.bn1.running_mean.clone()
    live(_images())
    assert not torch.equal(live.net.bn1.running_mean, mean)


def test_names() -> None:
    assert resolve_arch("clip") == "resnet50" == resolve_arch("resnet50")
    with pytest.raises(WeightsError, match="unknown architecture 'resnet5O'. Did you mean .*resnet50"):
        build_backbone("resnet5O")


def test_network_without_a_single_map_is_refused() -> None:
    backbone = Backbone("crossvit_tiny_240")
    with pytest.raises(WeightsError, match="crossvit_tiny_240 has 2 outputs"):
        backbone(_images(1, 240))


def test_vit_map_of_an_oblong_image_keeps_its_shape() -> None:
    assert Backbone("vit_tiny_patch16_224")(_images(1)[:, :, :32]).shape == (1, 192, 2, 4)


def test_random_and_loaded_weights(tmp_path: Path) -> None:
    source = build_backbone("resnet10t")
    torch.save(source.net.state_dict(), tmp_path / "weights.pth")
    loaded = build_backbone("resnet10t", tmp_path / "weights.pth")
    assert torch.equal(loaded.net.conv1[0].weight, source.net.conv1[0].weight)
    assert not torch.equal(build_backbone("resnet10t").net.conv1[0].weight, source.net.conv1[0].weight)


def test_failing_download_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args, **_kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(backbones.timm, "create_model", fail)
    monkeypatch.setattr("models.weights.hub.is_reachable", lambda: True)
    with pytest.raises(WeightsError, match="could not get timm's weights of resnet18 .*give its path"):
        build_backbone("resnet18", "hub")


def _classify(network: nn.Module, photos: list[Path]) -> float:
    right = 0
    for start in range(0, len(photos), 50):
        batch = torch.stack([_crop_224(path) for path in photos[start : start + 50]])
        with torch.no_grad():
            answers = network((batch / 255 - 0.5) / 0.5).argmax(1)
        right += int((answers == torch.arange(start, start + len(batch))).sum())
    return right / len(photos)


def _crop_224(path: Path) -> torch.Tensor:
    photo = Image.open(path).convert("RGB")
    scale = 224 / min(photo.size)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
    left, top = (photo.width - 224) // 2, (photo.height - 224) // 2
    return torch.from_numpy(np.array(photo.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1)


@pytest.mark.shared
@pytest.mark.slow
def test_package_weights_classify_real_photographs(shared_data: Path) -> None:
    try:
        find_package_weights("efficientnet-lite0")
    except WeightsError as error:
        pytest.skip(str(error))
    network = build_classifier("tf_efficientnet_lite0", "package:efficientnet-lite0")
    photos = sorted((shared_data / "imagenet1k_sample").glob("*.[jJ]*"))
    assert _classify(network, photos[:300]) >= 0.85
