"""What a start adapts (positions, a token, heads) and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from models.backbones import Backbone
from models.classifiers.classifier import Classifier
from models.classifiers.start import adapt, start_from
from models.encoder import Encoder, save_encoder
from models.plug_in.module import PlugInOptions, build_plug_in
from models.weights.match import load_weights
from runtime.errors import WeightsError

VIT = {"patch_size": 16, "embed_dim": 16, "depth": 1, "num_heads": 2}
CONVNEXT = {"dims": (4, 8, 8, 8), "depths": (1, 1, 2, 1)}
DISTILLED, PLAIN = "deit_tiny_distilled_patch16_224", "deit_tiny_patch16_224"


def save_public(network: Classifier, path: Path) -> Path:
    """As DeiT's code saves a training state."""
    torch.save({"model": network.net.state_dict(), "optimizer": {"step": torch.ones(1)}, "epoch": 3}, path)
    return path


def is_loaded(network: Classifier, given: Classifier, *, but: tuple[str, ...] = ()) -> bool:
    own, other = network.net.state_dict(), given.net.state_dict()
    return all(torch.equal(own[name], other[name]) for name in own if not name.startswith(but))


def test_positions_follow_the_image_size_and_the_tokens_keep_theirs(tmp_path: Path) -> None:
    given = Classifier(DISTILLED, 5, image_size=224, **VIT)
    network = Classifier(DISTILLED, 5, image_size=384, **VIT)
    notes = start_from(network, save_public(given, tmp_path / "deit.pth"))
    old, new = given.net.pos_embed, network.net.pos_embed
    assert old.shape == (1, 2 + 14 * 14, 16) and new.shape == (1, 2 + 24 * 24, 16)
    assert torch.equal(new[:, :2], old[:, :2])
    grid = old[:, 2:].transpose(1, 2).unflatten(2, (14, 14))
    resized = F.interpolate(grid, size=(24, 24), mode="bicubic", align_corners=False)
    assert torch.equal(new[:, 2:], resized.flatten(2).transpose(1, 2))
    assert is_loaded(network, given, but=("pos_embed",))
    assert notes == ["position embeddings 14 x 14 resized to 24 x 24"]


def test_positions_shrink_without_antialiasing(tmp_path: Path) -> None:
    given, network = (Classifier(PLAIN, 5, image_size=size, **VIT) for size in (128, 64))
    start_from(network, save_public(given, tmp_path / "deit.pth"))
    grid = given.net.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (8, 8))
    resized = F.interpolate(grid, size=(4, 4), mode="bicubic", align_corners=False)
    assert torch.equal(network.net.pos_embed[:, 1:], resized.flatten(2).transpose(1, 2))


def test_a_plain_transformer_starts_a_distilled_one(tmp_path: Path) -> None:
    given = Classifier(PLAIN, 5, image_size=32, **VIT)
    network = Classifier(DISTILLED, 5, image_size=64, **VIT)
    notes = start_from(network, save_public(given, tmp_path / "deit.pth"))
    old, new = given.net, network.net
    assert torch.equal(new.dist_token, old.cls_token)
    assert torch.equal(new.pos_embed[:, 0], old.pos_embed[:, 0]) and torch.equal(new.pos_embed[:, 1], old.pos_embed[:, 0])
    assert torch.equal(new.head_dist.weight, old.head.weight)
    assert notes == ["position embeddings 2 x 2 resized to 4 x 4", "the distillation token starts as the class token",
                     "the second head starts as the first one"]


def test_a_distilled_transformer_does_not_fit_a_plain_one(tmp_path: Path) -> None:
    path = save_public(Classifier(DISTILLED, 5, image_size=32, **VIT), tmp_path / "deit.pth")
    network = Classifier(PLAIN, 5, image_size=32, **VIT)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match="dist_token"):
        start_from(network, path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("classes", [5, 7])
def test_heads_stay_unless_their_shape_differs(tmp_path: Path, classes: int) -> None:
    given = Classifier(DISTILLED, 5, image_size=32, **VIT)
    network = Classifier(DISTILLED, classes, image_size=32, **VIT)
    fresh = {name: head.weight.clone() for name, head in network.heads.items()}
    notes = start_from(network, save_public(given, tmp_path / "deit.pth"))
    assert len(notes) == (0 if classes == 5 else 2)
    for name, head in network.heads.items():
        assert torch.equal(head.weight, given.heads[name].weight if classes == 5 else fresh[name])
    assert is_loaded(network, given, but=("head",))


def rename_as_meta(network: nn.Module) -> dict[str, torch.Tensor]:
    """timm's ConvNeXt tensors under their authors' names."""
    renamed = {}
    for name, value in network.state_dict().items():
        for new, old in [("stem.", "downsample_layers.0."), (".blocks.", "."), ("conv_dw", "dwconv"),
                         ("mlp.fc", "pwconv"), ("head.norm.", "norm."), ("head.fc.", "head.")]:
            name = name.replace(new, old)
        if ".downsample." in name:
            name = name.replace(".downsample.", ".").replace("stages.", "downsample_layers.")
        renamed[name] = value
    return renamed


@pytest.mark.parametrize("wrap", [lambda state: {"model": state}, lambda state: {"module": state}, lambda state: state])
def test_convnext_files_of_its_authors_fit(tmp_path: Path, wrap) -> None:
    given, network = (Classifier("convnext_atto", classes, **CONVNEXT) for classes in (5, 3))
    state = rename_as_meta(given.net)
    assert "downsample_layers.1.0.weight" in state and "stages.2.1.dwconv.weight" in state and "head.bias" in state
    torch.save(wrap(state), tmp_path / "convnext.pth")
    notes = start_from(network, tmp_path / "convnext.pth")
    assert notes == ["head.fc starts afresh: the file's has 5 classes, not 3"]
    assert is_loaded(network, given, but=("head.fc",))


def test_packages_and_our_encoders_start_a_network_with_two_heads(tmp_path: Path) -> None:
    network = Classifier("tf_efficientnet_lite0", 1000, second_head=True)
    assert start_from(network, "package:efficientnet-lite0") == ["the second head starts as the first one"]
    torch.testing.assert_close(network.head_dist.weight, network.net.classifier.weight)
    backbone = Backbone("tf_efficientnet_lite0")
    save_encoder(Encoder(backbone), tmp_path / "encoder.pt", {})
    notes = start_from(network, tmp_path / "encoder.pt")
    assert notes == ["classifier starts afresh: the file has none", "head_dist starts afresh: the file has none"]
    assert torch.equal(network.net.conv_stem.weight, backbone.net.conv_stem.weight)


def test_packages_start_a_plug_in_module_too() -> None:
    """Their tensors have names of their own and are known by their order, which holds without the classifier only."""
    network = build_plug_in("tf_efficientnet_lite0", 3, size=64, options=PlugInOptions(fpn_size=8, selects=1))
    start_from(network, "package:efficientnet-lite0")
    plain = Backbone("tf_efficientnet_lite0")
    load_weights(plain.net, "package:efficientnet-lite0")
    assert torch.equal(network.backbone.conv_stem.weight, plain.net.conv_stem.weight)
    assert torch.equal(network.backbone.blocks[6][0].bn3.running_var, plain.net.blocks[6][0].bn3.running_var)


def test_a_second_head_beside_the_first_may_be_left_out(tmp_path: Path) -> None:
    given = Classifier("convnext_atto", 5, second_head=True, **CONVNEXT)
    state = given.net.state_dict() | {f"head_dist.{name}": value for name, value in given.head_dist.state_dict().items()}
    torch.save(state, tmp_path / "two.pth")
    single, double = (Classifier("convnext_atto", 5, second_head=two, **CONVNEXT) for two in (False, True))
    assert start_from(single, tmp_path / "two.pth") == ["the file's second head is left out"]
    assert start_from(double, tmp_path / "two.pth") == []
    assert is_loaded(single, given) and torch.equal(double.head_dist.weight, given.head_dist.weight)


def test_a_bare_timm_network_without_head_starts_too(tmp_path: Path) -> None:
    given = Classifier("convnext_atto", 5, **CONVNEXT)
    net = timm.create_model("convnext_atto", num_classes=0, **CONVNEXT)
    assert start_from(net, save_public(given, tmp_path / "x.pth")) == []
    assert torch.equal(net.stem[0].weight, given.net.stem[0].weight)
    assert start_from(net, "none") == []


def test_other_networks_and_unknown_tensors_are_refused(tmp_path: Path) -> None:
    network = Classifier("convnext_atto", 5, **CONVNEXT)
    with pytest.raises(WeightsError, match="does not fit"):
        start_from(network, save_public(Classifier(PLAIN, 5, image_size=32, **VIT), tmp_path / "deit.pth"))
    torch.save(network.net.state_dict() | {"extra.weight": torch.ones(2)}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="1 left over: extra.weight"):
        start_from(network, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="no weight file"):
        start_from(network, tmp_path / "absent.pth")


def test_positions_of_a_plug_in_module_are_zoomed_as_published() -> None:
    """The public code calls scipy's zoom of order 1, which aligns the corners; DeiT's is bicubic and does not."""
    ndimage = pytest.importorskip("scipy.ndimage")
    small, grid = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=64).state_dict(), (6, 6)
    taps = ("blocks.10", "blocks.11")
    network = build_plug_in("vit_tiny_patch16_224", 3, size=96, taps=taps, options=PlugInOptions(fpn_size=8, selects=4))
    assert adapt(network, small) == ["position embeddings 4 x 4 resized to 6 x 6"]
    given, found = small["pos_embed"][0], network.backbone.pos_embed[0].detach()
    zoomed = ndimage.zoom(given[1:].reshape(4, 4, -1).numpy(), (1.5, 1.5, 1), order=1)
    assert torch.equal(found[0], given[0])
    torch.testing.assert_close(found[1:].reshape(*grid, -1), torch.from_numpy(zoomed), rtol=1e-5, atol=1e-6)
