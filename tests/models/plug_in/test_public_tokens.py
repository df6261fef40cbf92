"""A public plug-in module around a ViT computes here what its plain transcription computes: the class token takes part."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.reference.pim_tokens import LastBlocks, ReferenceTokenPim
from benchmarks.reference.public_files import write_pim_swin, write_pim_vit
from evaluation.heatmaps.class_maps import SELECTED, level_looker
from models.classifiers.file import load_classifier, rebuild_network
from models.classifiers.start import start_from
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in
from models.plug_in.published import match_public_pim
from models.plug_in.rebuild import build_public_pim
from runtime.errors import WeightsError

SELECTS = (8, 8, 8, 8)
TAPS = ("blocks.8", "blocks.9", "blocks.10", "blocks.11")
ARCH = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def plain() -> ReferenceTokenPim:
    """Around a small ViT at 96 pixels: 36 patches and the class token, 8 of which are kept."""
    import timm

    torch.manual_seed(0)
    body = LastBlocks(timm.create_model(ARCH, num_classes=0, img_size=96))
    network = ReferenceTokenPim(body, [192] * 4, [37] * 4, 5, width=16, selects=SELECTS).eval()
    network.combiner.alpha1.data.fill_(0.4)
    with torch.no_grad():
        body.cls_token.add_(torch.randn(192) * 3)  # so that it is among the most confident positions
    return network


def ours(class_token: bool = True) -> PlugIn:
    return build_plug_in(ARCH, 5, size=96, taps=TAPS, upsample="conv", class_token=class_token,
                         options=PlugInOptions(fpn_size=16, selects=SELECTS)).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (3, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_its_file_gives_the_plain_transcriptions_values(
    plain: ReferenceTokenPim, images: Tensor, tmp_path: Path
) -> None:
    torch.save({"model": plain.state_dict(), "epoch": 49}, tmp_path / "best.pt")
    network = load_classifier(tmp_path / "best.pt", network=ours()).network
    with torch.no_grad():
        seen, found = plain.answer(standardise(network, images)), network(images)
    assert any((one.kept == 0).any() for one in found.selections.values())
    for name, level in seen.levels.items():
        torch.testing.assert_close(found.levels[name], level, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.combiner, seen.combiner, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        averages = network.outputs(images)
    torch.testing.assert_close(averages["layer2"], seen.levels["layer2"].mean(1), rtol=1e-4, atol=1e-5)


def standardise(network: PlugIn, images: Tensor) -> Tensor:
    return (images / 255 - network.levels.mean) / network.levels.std


def test_without_the_class_token_it_is_refused(plain: ReferenceTokenPim) -> None:
    with pytest.raises(WeightsError, match="class token is a position.*--class-token"):
        match_public_pim({"model": plain.state_dict()}, ours(class_token=False))


def test_maps_and_files_know_that_it_has_no_place(images: Tensor) -> None:
    network = ours()
    assert {(shape.positions, shape.rows, shape.columns) for shape in network.levels.shapes.values()} == {(37, 6, 6)}
    with torch.no_grad():
        assert {value.shape for value in network.class_maps(images).values()} == {(3, 5, 6, 6)}
        looked = level_looker(network, None)(images)
    assert looked["layer1"].shape == looked[SELECTED + "layer1"].shape == (3, 36)
    twin = rebuild_network(network.describe()).eval()
    twin.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(twin.outputs(images)["combiner"], network.outputs(images)["combiner"])


def test_taps_by_index_cannot_keep_it() -> None:
    with pytest.raises(WeightsError, match="taps by index"):
        build_plug_in(ARCH, 5, size=96, class_token=True)


@pytest.mark.parametrize("name, write", [("vit", write_pim_vit), ("swin-t", write_pim_swin)])
def test_the_published_files_fit_by_name_and_shape(name: str, write: object) -> None:
    with torch.device("meta"):
        content = write()
        selects = None if name == "vit" else (2048, 512, 128, 32)
        network = build_public_pim(content, "best.pt", name=name, selects=selects)
        found = match_public_pim(content, network)
    state = network.state_dict()
    assert set(found) == set(state) and all(found[key].shape == state[key].shape for key in state)
    if name == "vit":
        assert [shape.positions for shape in network.levels.shapes.values()] == [785] * 4
    else:
        merged = [key for key in found if re.fullmatch(r"levels\.net\.layers\.[123]\.downsample\.reduction\.weight", key)]
        assert len(merged) == 3 and found[merged[0]].shape == (384, 768)


def test_it_is_also_a_start_for_training(plain: ReferenceTokenPim, tmp_path: Path) -> None:
    torch.save({"model": plain.state_dict(), "epoch": 49}, tmp_path / "best.pt")
    network = ours(class_token=False)
    assert start_from(network, tmp_path / "best.pt") == [
        "norm.weight, norm.bias start afresh: the file has none, and no level reads them"]
    for name, value in plain.backbone.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[name], value), name
