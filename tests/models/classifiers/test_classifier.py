"""Classifiers: branches, their mean, what rebuilds them, options of timm under our names."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from models.backbones import as_input
from models.classifiers.classifier import Classifier
from runtime.errors import WeightsError

VIT = {"image_size": 32, "patch_size": 16, "embed_dim": 16, "depth": 2, "num_heads": 2}
CONVNEXT = {"dims": (4, 8, 8, 8), "depths": (1, 1, 3, 1)}


def make_images(size: int = 32) -> Tensor:
    return torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)


@pytest.mark.parametrize("arch, options", [("deit_tiny_patch16_224", VIT), ("test_efficientnet", {}),
                                           ("convnext_atto", CONVNEXT)])
@pytest.mark.parametrize("second_head", [False, True])
def test_the_first_head_is_timms_own_answer(arch: str, options: dict, second_head: bool) -> None:
    network = Classifier(arch, 5, second_head=second_head, **options).eval()
    images = make_images()
    found = network.outputs(images)
    torch.testing.assert_close(found["cls"], network.net(as_input(images, network.net, network.mean, network.std)))
    assert list(found) == (["cls", "dist", "average"] if second_head else ["cls"])
    assert network.answer == list(found)[-1]
    if second_head:
        torch.testing.assert_close(found["average"], (found["cls"] + found["dist"]) / 2)
        assert not torch.allclose(found["cls"], found["dist"])


def test_a_distilled_transformer_reads_each_head_from_its_own_token() -> None:
    network = Classifier("deit_tiny_distilled_patch16_224", 5, **VIT).eval()
    images = make_images()
    pixels = as_input(images, network.net, network.mean, network.std)
    found = network.outputs(images)
    torch.testing.assert_close(found["average"], network.net(pixels))
    tokens = network.net.forward_features(pixels)
    torch.testing.assert_close(found["dist"], network.net.head_dist(tokens[:, 1]))
    assert set(network.train()(images)) == {"cls", "dist"}


def test_bytes_and_floats_are_the_same_image() -> None:
    network, images = Classifier("deit_tiny_patch16_224", 5, **VIT).eval(), make_images()
    torch.testing.assert_close(network(images)["cls"], network(images.float() / 255)["cls"])


@pytest.mark.parametrize("arch, options", [("deit_tiny_distilled_patch16_224", VIT), ("test_efficientnet", {})])
def test_its_description_rebuilds_it(arch: str, options: dict) -> None:
    network = Classifier(arch, 5, second_head=True, drop=0.1, drop_path=0.2, head_init_scale=0.5, **options).eval()
    again = Classifier.rebuild(json.loads(json.dumps(network.describe()))).eval()
    again.load_state_dict(network.state_dict())
    images = make_images()
    torch.testing.assert_close(again.outputs(images), network.outputs(images))
    assert again.describe() == network.describe() and network.describe()["kind"] == "classifier"


def test_stochastic_depth_grows_linearly_and_dropout_reaches_the_head() -> None:
    network = Classifier("convnext_atto", 5, drop_path=0.8, drop=0.3, **CONVNEXT)
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for stage in network.net.stages for block in stage.blocks]
    torch.testing.assert_close(rates, [0.8 * n / 5 for n in range(6)])
    assert network.net.head.drop.p == 0.3


@pytest.mark.parametrize("arch, options", [("convnext_atto", CONVNEXT), ("deit_tiny_distilled_patch16_224", VIT),
                                           ("test_efficientnet", {"second_head": True})])
def test_heads_start_small_by_the_scale(arch: str, options: dict) -> None:
    torch.manual_seed(0)
    plain = Classifier(arch, 5, **options)
    torch.manual_seed(0)
    small = Classifier(arch, 5, head_init_scale=0.001, **options)
    for name, head in plain.heads.items():
        torch.testing.assert_close(small.heads[name].weight, 0.001 * head.weight)
    rest = {name for name, value in plain.state_dict().items() if not torch.equal(value, small.state_dict()[name])}
    assert rest and all("head" in name or "classifier" in name for name in rest)


def test_fresh_heads_say_little_whatever_the_family() -> None:
    torch.manual_seed(0)
    for head in Classifier("tf_efficientnet_lite0", 10, second_head=True).heads.values():
        assert 0.015 < head.weight.std() < 0.025 and not head.bias.any()


def test_layer_scale_starts_where_asked_and_is_refused_where_there_is_none() -> None:
    network = Classifier("convnext_atto", 5, layer_scale_init=0.5, **CONVNEXT)
    assert all((block.gamma == 0.5).all() for stage in network.net.stages for block in stage.blocks)
    assert (Classifier("deit_tiny_patch16_224", 5, layer_scale_init=0.1, **VIT).net.blocks[0].ls1.gamma == 0.1).all()
    with pytest.raises(WeightsError, match="no layer scale"):
        Classifier("resnet18", 5, layer_scale_init=0.1)


def test_the_size_is_the_networks_own_or_the_one_asked_for() -> None:
    with torch.device("meta"):
        assert Classifier("deit_base_distilled_patch16_384", 200).size == 384
    network = Classifier("deit_tiny_patch16_224", 5, **VIT)
    assert network.size == 32 and network.net.patch_embed.grid_size == (2, 2)
    assert Classifier("test_efficientnet", 5, image_size=64).size == 64


def test_unknown_names_and_options_are_named() -> None:
    with pytest.raises(WeightsError, match="unknown architecture 'deit_bse'"):
        Classifier("deit_bse", 5)
    with pytest.raises(WeightsError, match="vgg11.*drop_path_rate"):
        Classifier("vgg11", 5, drop_path=0.1)
    with pytest.raises(WeightsError, match="two heads of a kind"):
        Classifier("pit_ti_distilled_224", 5)
