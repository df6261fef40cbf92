"""Public plug-in checkpoints: Swin's old names, the strict refusals."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from benchmarks.reference.pim import ReferencePim
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in
from models.plug_in.published import is_public_pim, match_public_pim
from runtime.errors import WeightsError

SELECTS = [32, 16, 8, 4]
SWIN = ("layers.1.downsample", "layers.2.downsample", "layers.3.downsample", "layers.3")


def publish(network: PlugIn) -> dict[str, Tensor]:
    """The tensors of a module around Swin under the public code's names, in its shapes."""
    state = {}
    for name, value in network.state_dict().items():
        name = re.sub(r"^levels\.net\.layers\.(\d)\.downsample",
                      lambda found: f"backbone.layers.{int(found[1]) - 1}.downsample", name)
        name = name.replace("levels.net.", "backbone.")
        name = re.sub(r"fpn\.project\.(\w+)", r"fpn.Proj_\1", name)
        name = re.sub(r"classify\.(\w+)\.hidden", r"fpn_classifier_\1.0", name)
        name = re.sub(r"classify\.(\w+)\.norm", r"fpn_classifier_\1.1", name)
        name = re.sub(r"classify\.(\w+)\.logits", r"fpn_classifier_\1.3", name)
        for ours, public in (("pool", "param_pool0"), ("merge", "param_pool1"), ("adjacency", "adj1"),
                             ("alpha", "alpha1"), ("mix", "conv1"), ("norm", "batch_norm1"), ("query", "conv_q1"),
                             ("key", "conv_k1")):
            name = re.sub(rf"^combiner\.{ours}\b", f"combiner.{public}", name)
        if name.startswith("fpn.rise."):
            name = name.replace("fpn.rise.", "fpn.Up_")
        conv = value.dim() == 2 and re.search(r"fpn_classifier|fpn\.Up|conv", name)
        state[name] = value[:, :, None] if conv else value
    state["backbone.head.weight"], state["backbone.head.bias"] = torch.zeros(7, 8), torch.zeros(7)
    state["backbone.layers.0.blocks.1.attn_mask"] = torch.zeros(4, 49, 49)
    return {f"module.{name}": value for name, value in state.items()}


def test_swin_under_its_old_names() -> None:
    options = PlugInOptions(fpn_size=8, selects=SELECTS)
    with torch.device("meta"):
        network = build_plug_in("swin_tiny_patch4_window7_224", 3, taps=SWIN, upsample="conv", options=options)
        content = {"model": publish(network), "epoch": 4}
    content["model"]["module.combiner.batch_norm1.running_mean"] = torch.arange(8.0)
    found = match_public_pim(content, network)
    assert is_public_pim(content)
    state = network.state_dict()
    assert set(found) == set(state) and all(found[name].shape == state[name].shape for name in state)
    public = {name.removeprefix("module."): value for name, value in content["model"].items()}
    moved = "reduction.weight"
    assert found[f"levels.net.layers.3.downsample.{moved}"] is public[f"backbone.layers.2.downsample.{moved}"]
    assert found["combiner.norm.running_mean"].tolist() == list(range(8))


class Trunk(torch.nn.Module):
    """timm's ResNet-18 as its four maps."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        for name, part in net.named_children():
            self.add_module(name, part)


@pytest.fixture(scope="module")
def network() -> PlugIn:
    with torch.device("meta"):
        return build_plug_in("resnet18", 3, size=64, options=PlugInOptions(fpn_size=8, selects=SELECTS[:3] + [2]))


@pytest.fixture
def state(network: PlugIn) -> dict[str, Tensor]:
    with torch.device("meta"):
        selects = SELECTS[:3] + [2]
        return ReferencePim(Trunk(network.backbone), [64, 128, 256, 512], 3, width=8, selects=selects).state_dict()


def test_a_plain_state_dict_fits(network: PlugIn, state: dict[str, Tensor]) -> None:
    assert set(match_public_pim(state, network)) == set(network.state_dict())
    assert not is_public_pim({"model": network.backbone.state_dict()})


def test_everything_that_does_not_fit_is_named(network: PlugIn, state: dict[str, Tensor]) -> None:
    del state["combiner.adj1"], state["backbone.layer3.1.conv2.weight"]
    state["combiner.extra"] = torch.zeros(1)
    state["fpn.Proj_layer2.2.weight"] = torch.zeros(9, 128, 1, 1)
    with pytest.raises(WeightsError) as refusal:
        match_public_pim(state, network, source="best.pt")
    text = str(refusal.value)
    for piece in ("best.pt", "combiner.adjacency", "layer3.1.conv2.weight", "combiner.extra",
                  "fpn.project.layer2.2.weight (is [9, 128, 1, 1], needs [8, 128])"):
        assert piece in text


def test_torchvisions_efficientnet_is_refused_rather_than_loaded_into_another_network(network: PlugIn) -> None:
    with pytest.raises(WeightsError, match="pads otherwise"):
        match_public_pim({"backbone.features.0.0.weight": torch.zeros(3)}, network)
