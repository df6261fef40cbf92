"""A classifier's file brings everything back; public files need their architecture, and fit strictly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.classifiers.classifier import Classifier
from models.classifiers.file import load_classifier, rebuild_network, save_classifier
from models.classifiers.start import start_from
from models.encoder import load_encoder
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in
from runtime.errors import WeightsError

VIT = {"image_size": 32, "patch_size": 16, "embed_dim": 16, "depth": 1, "num_heads": 2}
SOURCES = ({"name": "birds", "first": 0, "classes": 2}, {"name": "dogs", "first": 2, "classes": 1})


def save(network: Classifier, path: Path) -> Path:
    save_classifier(network, path, class_names=["wren", "robin", "chow"], sources=SOURCES,
                    view={"recipe": "deit-eval", "size": 32}, meta={"method": "distill", "seed": 3})
    return path


@pytest.mark.parametrize("arch, options", [("deit_tiny_distilled_patch16_224", VIT),
                                           ("convnext_atto", {"dims": (4, 8, 8, 8), "depths": (1, 1, 1, 1)})])
def test_a_file_brings_back_the_network_and_what_is_known_of_it(tmp_path: Path, arch: str, options: dict) -> None:
    network = Classifier(arch, 3, second_head=True, drop=0.5, **options)
    saved = load_classifier(save(network, tmp_path / "model.pt"))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert not saved.network.training
    torch.testing.assert_close(saved.network.outputs(images), network.eval().outputs(images), rtol=0, atol=0)
    assert saved.class_names == ("wren", "robin", "chow") and saved.sources == SOURCES
    assert saved.view == {"recipe": "deit-eval", "size": 32}
    assert saved.meta == {"method": "distill", "seed": 3, "network": network.describe()}


def test_a_file_is_also_a_start_and_a_backbone(tmp_path: Path) -> None:
    network = Classifier("test_efficientnet", 3, second_head=True)
    path = save(network, tmp_path / "model.pt")
    again = Classifier("test_efficientnet", 3, second_head=True)
    assert start_from(again, path) == []
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in again.state_dict().items())
    encoder = load_encoder(path)
    assert encoder.head is None and torch.equal(encoder.backbone.net.conv_stem.weight, network.net.conv_stem.weight)


def test_a_public_file_of_deit_shows_its_size_and_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Classifier("deit_tiny_distilled_patch16_224", 3, image_size=64)
    torch.save({"model": given.net.state_dict(), "epoch": 59}, tmp_path / "best_checkpoint.pth")
    saved = load_classifier(tmp_path / "best_checkpoint.pth", arch="deit_tiny_distilled_patch16_224")
    assert saved.network.size == 64 and saved.network.classes == 3 and saved.class_names == ()
    assert saved.view == {"recipe": "deit-eval", "size": 64}
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(saved.network.outputs(images), given.eval().outputs(images), rtol=0, atol=0)
    with pytest.raises(WeightsError, match="looks like a ViT with 12 blocks of width 192. Name its architecture"):
        load_classifier(tmp_path / "best_checkpoint.pth")
    with pytest.raises(WeightsError, match="missing|left over"):
        load_classifier(tmp_path / "best_checkpoint.pth", arch="deit_tiny_patch16_224")


def test_a_public_convnext_is_shown_whole_from_384_pixels_on(tmp_path: Path) -> None:
    given = Classifier("test_convnext", 3)
    torch.save({"model": given.net.state_dict()}, tmp_path / "convnext.pth")
    recipes = [load_classifier(tmp_path / "convnext.pth", arch="test_convnext", size=size).view["recipe"]
               for size in (None, 384)]
    assert recipes == ["deit-eval", "warp"]


def test_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    path = save(Classifier("deit_tiny_patch16_224", 3, **VIT), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="is a deit_tiny_patch16_224, not a resnet18"):
        load_classifier(path, arch="resnet18")
    content = torch.load(path)
    del content["state_dict"]["net.head.bias"]
    torch.save(content, tmp_path / "cut.pt")
    with pytest.raises(WeightsError, match="damaged or of another version"):
        load_classifier(tmp_path / "cut.pt")
    torch.save({"conv1.weight": torch.zeros(2, 3, 1, 1)}, tmp_path / "headless.pt")
    with pytest.raises(WeightsError, match="has no class head"):
        load_classifier(tmp_path / "headless.pt", arch="resnet18")
    with pytest.raises(WeightsError, match="kind 'other'"):
        rebuild_network({"kind": "other"})


def save_public_pim(network: PlugIn, path: Path) -> Path:
    """The public module's names for a pyramid-less plug-in module around a ResNet."""
    renamed = {}
    for name, value in network.state_dict().items():
        for ours, theirs in [("levels.net.", "backbone."), ("classify.", "selector.classifier_l_"),
                             ("combiner.project.", "combiner.proj_"), ("combiner.pool.", "combiner.param_pool0."),
                             ("combiner.merge.", "combiner.param_pool1."), ("combiner.adjacency", "combiner.adj1"),
                             ("combiner.alpha", "combiner.alpha1"), ("combiner.query.", "combiner.conv_q1."),
                             ("combiner.key.", "combiner.conv_k1."), ("combiner.mix.", "combiner.conv1."),
                             ("combiner.norm.", "combiner.batch_norm1.")]:
            name = theirs + name.removeprefix(ours) if name.startswith(ours) else name
        renamed[name] = value
    torch.save({"model": renamed, "epoch": 4}, path)
    return path


def test_plug_in_modules_come_back_from_our_file_and_the_public_one(tmp_path: Path) -> None:
    options = PlugInOptions(use_fpn=False, combiner_size=32, selects=2)
    given = build_plug_in("test_resnet", 3, size=64, options=options).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    own = load_classifier(save(given, tmp_path / "pim.pt"))
    torch.testing.assert_close(own.network.outputs(images), given.outputs(images), rtol=0, atol=0)
    path = save_public_pim(given, tmp_path / "public.pt")
    fresh = build_plug_in("test_resnet", 3, size=64, options=options)
    public = load_classifier(path, network=fresh)
    torch.testing.assert_close(public.network.outputs(images), given.outputs(images), rtol=0, atol=0)
    assert public.view == {"recipe": "pim-eval", "size": 64}
    with pytest.raises(WeightsError, match="does not say its backbone"):
        load_classifier(path, arch="test_resnet", size=64)
    with pytest.raises(WeightsError, match="does not fit this plug-in module"):
        load_classifier(path, network=build_plug_in("test_resnet", 4, size=64, options=options))
    classifier = Classifier("test_resnet", 3)
    assert start_from(classifier, tmp_path / "pim.pt") == ["fc starts afresh: the file has none"]
    assert torch.equal(classifier.net.layer1[0].conv1.weight, given.backbone.layer1[0].conv1.weight)
