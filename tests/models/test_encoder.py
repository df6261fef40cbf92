"""Encoder: what it says of images, and that its file brings back the same network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.attention import RationaleBranch, masked_pool
from models.backbones import build_backbone
from models.encoder import Encoder, describe_encoder, load_encoder, save_encoder
from models.heads import LinearHead, ProjectionHead
from models.weights.files import read_checkpoint
from runtime.errors import WeightsError


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(build_backbone("resnet18"), ProjectionHead(512, 16, 8), RationaleBranch(512, 4)).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def assert_same_outputs(left: Encoder, right: Encoder, images: Tensor) -> None:
    mine, theirs = left.outputs(images), right.outputs(images)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_outputs_are_the_pooled_masked_and_projected_features(encoder: Encoder, images: Tensor) -> None:
    encoded, features = encoder(images), encoder.outputs(images)
    torch.testing.assert_close(features["backbone"], encoded.map.mean(dim=(2, 3)))
    torch.testing.assert_close(features["masked"], masked_pool(encoded.map, encoded.attention))
    torch.testing.assert_close(features["head"].norm(dim=1), torch.ones(3))
    assert {value.dtype for value in features.values()} == {torch.float32}


def test_outputs_do_not_depend_on_the_batch(encoder: Encoder, images: Tensor) -> None:
    together, alone = encoder.outputs(images), encoder.outputs(images[1:2])
    for name, value in together.items():
        torch.testing.assert_close(value[1:2], alone[name], atol=1e-5, rtol=1e-4)


def test_looking_away_leaves_the_branch_alone(images: Tensor) -> None:
    encoder = Encoder(build_backbone("resnet18"), None, RationaleBranch(512, 4)).train()
    assert encoder(images, attend=False).attention is None and encoder(images, attend=False).head is None
    assert encoder.attention.bn.num_batches_tracked == 0


def test_autocast_keeps_pooled_and_head_float32(encoder: Encoder, images: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoded = encoder(images)
    assert encoded.map.dtype == torch.bfloat16
    assert {encoded.pooled.dtype, encoded.head.dtype, encoded.attention.dtype} == {torch.float32}


def test_file_brings_back_the_same_network(encoder: Encoder, images: Tensor, tmp_path: Path) -> None:
    encoder.centre = {"backbone": torch.arange(512.0)}
    save_encoder(encoder, tmp_path / "model_last.pth", {"method": "lead"})
    loaded = load_encoder(tmp_path / "model_last.pth")
    assert_same_outputs(encoder, loaded, images)
    assert torch.equal(loaded.centre["backbone"], torch.arange(512.0)) and not loaded.training
    assert read_checkpoint(tmp_path / "model_last.pth")["format"] == "plumage-encoder"
    assert [path.name for path in tmp_path.iterdir()] == ["model_last.pth"]


@pytest.mark.parametrize("make_head", [lambda: None, lambda: LinearHead(512, 6)])
def test_head_and_branch_are_optional(
    make_head: Callable[[], LinearHead | None], images: Tensor, tmp_path: Path
) -> None:
    encoder = Encoder(build_backbone("resnet18"), make_head()).eval()
    save_encoder(encoder, tmp_path / "model.pth", {})
    assert_same_outputs(encoder, load_encoder(tmp_path / "model.pth", arch="resnet18"), images)


def test_branch_mode_is_remembered(tmp_path: Path) -> None:
    encoder = Encoder(build_backbone("resnet18"), None, RationaleBranch(512, 4, "batch"))
    save_encoder(encoder, tmp_path / "model.pth", {})
    assert load_encoder(tmp_path / "model.pth").attention.normalise == "batch"


def test_lead_and_moco_checkpoints_load(encoder: Encoder, images: Tensor, tmp_path: Path) -> None:
    state = {f"module.encoder_q.{name}": value for name, value in encoder.backbone.net.state_dict().items()}
    state |= {f"module.encoder_q.fc.{name}": value for name, value in encoder.head.state_dict().items()}
    state |= {"module.conv16.weight": encoder.attention.conv.weight.detach()}
    state |= {f"module.bn16.{name}": value for name, value in encoder.attention.bn.state_dict().items()}
    state |= {"module.queue2": torch.zeros(2, 2), "module.encoder_k.conv1.weight": torch.zeros(1)}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "seed.pth.tar")
    assert_same_outputs(encoder, load_encoder(tmp_path / "seed.pth.tar"), images)


@pytest.mark.parametrize("place", ["module.", "module.encoder_q."])
def test_lcr_moco_checkpoints_load(encoder: Encoder, images: Tensor, tmp_path: Path, place: str) -> None:
    """Branch beside or inside of the query encoder; the second, masked contrast is of no use."""
    state = {f"module.encoder_q.{name}": value for name, value in encoder.backbone.net.state_dict().items()}
    state |= {f"module.encoder_q.fc.{name}": value for name, value in encoder.head.state_dict().items()}
    state |= {f"{place}conv.weight": encoder.attention.conv.weight.detach()}
    state |= {f"{place}bn.{name}": value for name, value in encoder.attention.bn.state_dict().items()}
    state |= {"module.qmax.0.weight": torch.zeros(3, 3), "module.queue_ptr_max": torch.zeros(1)}
    torch.save({"state_dict": state, "arch": "resnet50"}, tmp_path / "checkpoint_0099.pth.tar")
    assert_same_outputs(encoder, load_encoder(tmp_path / "checkpoint_0099.pth.tar"), images)


@pytest.mark.parametrize("online", ["online_encoder.0.", "online_backbone."])
def test_lcr_byol_checkpoints_load_without_max_pool(encoder: Encoder, images: Tensor, tmp_path: Path, online: str) -> None:
    body = dict(encoder.backbone.net.state_dict().items())
    state = {f"{online}{name}": value for name, value in body.items()}
    state |= {f"target_encoder.0.{name}": torch.zeros_like(value) for name, value in body.items()}
    state |= {f"backbone.{name}": value for name, value in body.items()}  # one module under two names
    state |= {"online_encoder.1.layer2.weight": torch.zeros(3, 3), "online_predictor.layer2.weight": torch.zeros(3, 3)}
    branch = {"conv16.weight": encoder.attention.conv.weight.detach()}
    branch |= {f"bn16.{name}": value for name, value in encoder.attention.bn.state_dict().items()}
    torch.save({"state_dict": state | branch}, tmp_path / "byol.pth")
    loaded = load_encoder(tmp_path / "byol.pth")
    bare = Encoder(copy.deepcopy(encoder.backbone), None, encoder.attention)
    bare.backbone.skip_max_pool()
    assert_same_outputs(bare, loaded, images)
    save_encoder(loaded, tmp_path / "again.pth", {})
    assert_same_outputs(bare, load_encoder(tmp_path / "again.pth"), images)


def test_a_checkpoint_that_lacks_a_layer_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    state = {f"module.encoder_q.{name}": value for name, value in encoder.backbone.net.state_dict().items()}
    gone = state.pop("module.encoder_q.layer3.0.conv1.weight")
    torch.save({"state_dict": state | {"module.conv16.weight": gone[:2, :, :1, :1]}}, tmp_path / "cut.pth.tar")
    with pytest.raises(WeightsError, match="layer3.0.conv1.weight"):
        load_encoder(tmp_path / "cut.pth.tar")


def test_plain_weights_give_an_encoder_without_a_head(encoder: Encoder, images: Tensor, tmp_path: Path) -> None:
    torch.save(encoder.backbone.net.state_dict(), tmp_path / "resnet.pth")
    assert_same_outputs(Encoder(encoder.backbone), load_encoder(tmp_path / "resnet.pth"), images)


def test_another_architecture_is_refused_by_name(encoder: Encoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path / "model.pth", {})
    with pytest.raises(WeightsError, match="resnet18.*not a resnet50.*--arch"):
        load_encoder(tmp_path / "model.pth", arch="resnet50")


def test_a_file_of_unknown_architecture_asks_for_it(tmp_path: Path) -> None:
    torch.save({"some.weight": torch.zeros(2)}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="Give --arch"):
        load_encoder(tmp_path / "odd.pth")


def test_an_embedding_of_average_plus_maximum_comes_back_from_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = build_backbone("resnet18")
    encoder = Encoder(backbone, LinearHead(512, 6), head_pool="avg+max", unit_head=False).eval()
    save_encoder(encoder, tmp_path / "metric.pt", {})
    again = load_encoder(tmp_path / "metric.pt")
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        found, seen = again(images), backbone(images)
    expected = encoder.head(seen.mean(dim=(2, 3)) + seen.amax(dim=(2, 3)))
    torch.testing.assert_close(found.head, expected)
    torch.testing.assert_close(found.pooled, seen.mean(dim=(2, 3)))
    assert "head_pool" not in describe_encoder(Encoder(backbone, LinearHead(512, 6)))


def test_published_metric_checkpoints_load(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(0)
    encoder = Encoder(build_backbone("resnet18"), LinearHead(512, 6), head_pool="avg+max").eval()
    net = encoder.backbone.net.state_dict()
    head = {f"model.last_linear.{name}": value for name, value in encoder.head.state_dict().items()}
    twice = {f"layer_blocks.{int(name[5]) - 1}{name[6:]}": value for name, value in net.items() if name[:5] == "layer"}
    content = {"state_dict": {f"model.{name}": value for name, value in net.items()} | head | twice,
               "opt": "args", "progress": {"epoch": 3}}
    torch.save(content, tmp_path / "net.pth")
    assert not load_encoder(tmp_path / "net.pth", unit_head=False).unit_head
    loaded = load_encoder(tmp_path / "net.pth", head_pool="avg+max")
    with torch.no_grad():
        torch.testing.assert_close(loaded(images).head, encoder(images).head)
        assert not torch.allclose(load_encoder(tmp_path / "net.pth")(images).head, encoder(images).head)
    content["state_dict"]["model.surprise"] = torch.ones(3)
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="surprise"):
        load_encoder(tmp_path / "net.pth")
