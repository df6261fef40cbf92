"""Every published code's file opens as the network that it holds; names, types and shapes are those really written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.reference.public_files import (
    build_resnet,
    write_convnext,
    write_deit,
    write_lcr_byol,
    write_lcr_moco,
    write_lead,
    write_lead_linear,
    write_obdsd,
    write_obdsd_best,
)
from models.classifiers.file import load_classifier
from models.encoder import Encoder, load_encoder
from runtime.errors import WeightsError

BRANCHED: dict[str, tuple[Callable[..., dict], str]] = {
    "LEAD": (write_lead, "module.encoder_q."), "LEAD's probe": (write_lead_linear, "encoder_q."),
    "LCR by MoCo": (write_lcr_moco, "module.encoder_q."), "LCR by BYOL": (write_lcr_byol, "online_encoder.0.")}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def fill(content: dict) -> dict:
    """Another number in every tensor: a file that was read in the wrong place shows."""
    for value in content.get("state_dict", content).values():
        if isinstance(value, Tensor) and value.is_floating_point():
            value.copy_(torch.rand(value.shape) * 0.1 + 0.01)
    return content


def check_body(encoder: Encoder, state: dict[str, Tensor], prefix: str) -> None:
    """Every tensor of the backbone is the file's."""
    for name, value in encoder.backbone.net.state_dict().items():
        assert torch.equal(value, state[prefix + name]), name


@pytest.mark.parametrize("name", BRANCHED)
def test_pre_trained_networks_open_with_branch_and_head(name: str, tmp_path: Path, images: Tensor) -> None:
    write, prefix = BRANCHED[name]
    content = fill(write("resnet18"))
    state, beside = content["state_dict"], prefix.partition("encoder_q")[0] if "encoder_q" in prefix else ""
    torch.save(content, tmp_path / "checkpoint_0099.pth.tar")
    encoder = load_encoder(tmp_path / "checkpoint_0099.pth.tar")
    check_body(encoder, state, prefix)
    assert torch.equal(encoder.attention.conv.weight, state[f"{beside}conv16.weight"])
    for kind in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(encoder.attention.bn.state_dict()[kind], state[f"{beside}bn16.{kind}"])
    assert encoder.backbone.skips_max_pool == (name == "LCR by BYOL")
    if name == "LCR by BYOL":
        assert encoder.head is None and set(encoder.outputs(images)) == {"backbone", "masked"}
    else:
        assert torch.equal(encoder.head.state_dict()["2.weight"], state[f"{prefix}fc.2.weight"])
        assert set(encoder.outputs(images)) == {"backbone", "masked", "head"}


def test_a_surprise_in_a_published_file_is_named(tmp_path: Path) -> None:
    content = write_lcr_moco("resnet18")
    content["state_dict"]["module.surprise.weight"] = torch.zeros(3, 3)
    torch.save(content, tmp_path / "x.pth.tar")
    words = "(?s)1 left over: surprise.weight.*Every tensor of the network is there"
    with pytest.raises(WeightsError, match=words) as no:
        load_encoder(tmp_path / "x.pth.tar")
    assert "Name that architecture" not in str(no.value)


@pytest.mark.parametrize("name", ["LCR by MoCo", "LCR by BYOL"])
def test_which_of_two_encoders_is_taken_is_said(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(BRANCHED[name][0]("resnet18"), tmp_path / "x.pth")
    load_encoder(tmp_path / "x.pth")
    taken, other = ("online_encoder", "target_encoder") if "BYOL" in name else ("encoder_q", "encoder_k")
    assert capsys.readouterr().out == f"note: {tmp_path}/x.pth holds {taken} and {other}: {taken} is taken\n"


@pytest.mark.parametrize("tokens", ["frozen_normalize", "normalize_frozen_double", "frozen"])
def test_metric_networks_open_and_tell_how_the_head_is_fed(tokens: str, tmp_path: Path, images: Tensor) -> None:
    torch.save(content := write_obdsd_best("resnet18", 6, tokens=tokens), tmp_path / "best.pth")
    encoder = load_encoder(tmp_path / "best.pth")
    check_body(encoder, content["state_dict"], "model.")
    assert encoder.head_pool == ("avg+max" if "double" in tokens else "avg")
    assert encoder.unit_head == ("normalize" in tokens)
    rows = encoder.outputs(images)["head"]
    assert torch.allclose(rows.norm(dim=1), torch.ones(2)) == encoder.unit_head


def test_net_pth_does_not_tell_and_takes_the_callers_word(tmp_path: Path) -> None:
    torch.save(state := fill(write_obdsd("resnet18", 6)), tmp_path / "net.pth")
    encoder = load_encoder(tmp_path / "net.pth", head_pool="avg+max", unit_head=False)
    check_body(encoder, state, "model.")
    assert torch.equal(encoder.head.state_dict()["weight"], state["model.last_linear.weight"])
    assert encoder.head_pool == "avg+max" and not encoder.unit_head


def test_a_convnext_teacher_opens(tmp_path: Path) -> None:
    content = write_convnext("convnext_atto")
    torch.save(content, tmp_path / "checkpoint-best.pth")
    network = load_classifier(tmp_path / "checkpoint-best.pth", arch="convnext_atto", size=384).network
    assert network.classes == 11 and torch.equal(network.net.head.fc.weight, content["model"]["head.weight"])
    assert torch.equal(network.net.stages[2].blocks[1].mlp.fc1.weight.flatten(),
                       content["model"]["stages.2.1.pwconv1.weight"].flatten())


def test_a_deit_student_opens_as_its_network_not_its_average(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = write_deit("deit_tiny_distilled_patch16_224", 7, img_size=64)
    torch.save(content, tmp_path / "checkpoint.pth")
    network = load_classifier(tmp_path / "checkpoint.pth", arch="deit_tiny_distilled_patch16_224").network
    assert network.size == 64 and torch.equal(network.net.head_dist.weight, content["model"]["head_dist.weight"])
    assert capsys.readouterr().out.endswith("holds model and model_ema: model is taken\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", BRANCHED)
def test_files_of_the_published_sizes_open(name: str, tmp_path: Path) -> None:
    """Tensors of one number each, another one in every tensor: a small file with the shapes of the real one."""
    write, prefix = BRANCHED[name]
    with torch.device("meta"):
        content = write()
    state = {key: torch.tensor(number / 1000 if value.is_floating_point() else number).expand(value.shape)
             for number, (key, value) in enumerate(content["state_dict"].items(), start=1)}
    torch.save(content | {"state_dict": state}, tmp_path / "real.pth")
    encoder = load_encoder(tmp_path / "real.pth")
    assert encoder.backbone.arch == "resnet50"
    check_body(encoder, state, prefix)


def test_torchvisions_and_the_published_resnet_are_one(images: Tensor, tmp_path: Path) -> None:
    """The map of our backbone is that of torchvision's network, from which the published codes start."""
    plain = build_resnet("resnet18").eval()
    torch.save(plain.state_dict(), tmp_path / "resnet18.pth")
    encoder = load_encoder(tmp_path / "resnet18.pth")
    pixels = encoder.backbone.normalise(images)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images).pooled, plain(pixels), rtol=1e-4, atol=1e-4)
