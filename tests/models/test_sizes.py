"""Sides that a network cannot look at are told with the nearest that fit; those that timm adapts to stay allowed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.arch_names import resolve_arch, same_arch
from models.backbones import Backbone
from models.classifiers.classifier import Classifier
from models.sizes import build_without_memory, check_arch_size, check_size, empty_maps_refused
from models.teachers.build import check_teacher
from runtime.errors import WeightsError


def classifier(arch: str, side: int) -> Classifier:
    return Classifier(arch, 2, image_size=side)


@pytest.mark.parametrize("arch,size,words", [
    ("test_vit", 40, "--size 40: test_vit .*patches of 16 pixels do not fill it.*take 32 or 48 or 160"),
    ("levit_128s", 100, "take 224"),
    ("vit_tiny_patch16_224", 1, "take 16 or 224"),
    ("test_convnext", 2, "cannot look at squares of that side")])
def test_a_side_that_does_not_fit_is_told_with_those_that_do(arch: str, size: int, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        check_size(Backbone(arch), size)


@pytest.mark.parametrize("arch,sizes", [("test_vit", (16, 32, 160, 512)), ("test_resnet", (1, 33, 8192))])
def test_every_other_side_stays_allowed_and_the_network_as_it_was(arch: str, sizes: tuple[int, ...]) -> None:
    backbone = Backbone(arch).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    for size in sizes:
        check_size(backbone, size)
        check_size(backbone, size, look="intermediate", layer=-1)
    assert backbone.training and all(part.training for part in backbone.modules())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_networks_that_are_made_for_their_side_may_have_any_that_timm_can_make() -> None:
    check_arch_size(lambda side: classifier("swin_tiny_patch4_window7_224", side), "swin", 448)
    with pytest.raises(WeightsError, match="--size 40: test_vit .*take 32 or 48"):
        check_arch_size(lambda side: classifier("test_vit", side), "test_vit", 40)


def test_what_is_wrong_with_the_network_at_every_side_is_told_as_it_is() -> None:
    with pytest.raises(WeightsError, match="--layer 9: test_resnet has 5 stages, 0 to 4"):
        check_size(Backbone("test_resnet"), 64, look="intermediate", layer=9)


class Shrinking(nn.Conv2d):
    """A convolution as torch 2.6 has it on the meta device: without an error where nothing is left."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[..., :0, :0]


def test_a_convolution_that_leaves_nothing_does_not_fit() -> None:
    with empty_maps_refused(), pytest.raises(RuntimeError, match="4 x 4 pixels"):
        Shrinking(3, 2, 4)(torch.zeros(1, 3, 8, 8))
    assert Shrinking(3, 2, 4)(torch.zeros(1, 3, 8, 8)).numel() == 0


def test_networks_that_read_numbers_while_they_are_built_are_built_with_memory() -> None:
    """As timm's regnets are under torch 2.6; the random numbers that a run draws stay the same."""

    def build() -> nn.Linear:
        if torch.zeros(1).is_meta:
            raise NotImplementedError("aten::_unique2")
        return nn.Linear(2, 2)

    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert not build_without_memory(build).weight.is_meta and torch.equal(torch.rand(3), expected)
    assert build_without_memory(lambda: nn.Linear(2, 2)).weight.is_meta
    check_teacher("regnety_002", "ViT-B-16", 64)


@pytest.mark.parametrize("spec,size,words", [
    ("clip", 100, "--teacher-size 100: ViT-B-16 looks at patches of 16.*take 96 or 112"),
    ("clip:RN50", 100, "take 96 or 128"), ("clip:ViT-B16", None, "Did you mean .*ViT-B-16"),
    ("test_vit", 40, "--teacher-size 40.*take 32 or 48"), ("resnet5O", None, "Did you mean .*resnet50")])
def test_teachers_are_asked_before_they_are_built(spec: str, size: int | None, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        check_teacher(spec, "ViT-B-16", size)


def test_teachers_that_fit_are_not_told_anything() -> None:
    for spec, size in (("clip", None), ("clip", 224), ("test_vit", 48), ("test_resnet", None)):
        check_teacher(spec, "ViT-B-16", size)


@pytest.mark.parametrize("given,name", [
    ("timm/test_vit.r160_in1k", "test_vit.r160_in1k"), ("hf-hub:timm/test_vit", "test_vit"),
    ("hf_hub:timm/test_vit.r160_in1k", "test_vit.r160_in1k"), ("ResNet50", "resnet50"), ("clip", "resnet50"),
    ("https://huggingface.co/timm/test_vit.r160_in1k", "test_vit.r160_in1k")])
def test_names_as_hubs_print_them(given: str, name: str) -> None:
    assert resolve_arch(given) == name


@pytest.mark.parametrize("given,words", [
    ("test_vit.nosuchtag", "no weights tagged 'nosuchtag' for test_vit. There are test_vit.r160_in1k"),
    ("resnet50.a1_in2k", r"resnet50.a1_in1k.*\(\+\d+ more\)"), ("test_vit.", "no weights tagged ''"),
    ("hf-hub:someone/net", "only timm's are built here"), ("", "unknown architecture ''")])
def test_tags_and_names_that_are_not_there(given: str, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        resolve_arch(given)


def test_a_tag_changes_the_weights_not_the_architecture() -> None:
    assert same_arch("resnet50.a1_in1k", "timm/resnet50") and not same_arch("resnet18", "resnet50")
