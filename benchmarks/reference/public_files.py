"""What the published codes write: every name, type and shape, from networks that anyone can build and their own rules.

Nothing here is shared with models/: a name that a loader must know is written down a second time. Networks are those of
torchvision and timm; on `torch.device("meta")` nothing is computed or stored.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping

import timm
import torch
import torchvision
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from benchmarks.reference.pim_tokens import LastBlocks, ReferenceTokenPim

State = dict[str, Tensor]
BRANCH_WIDTH = 32


def build_resnet(arch: str) -> nn.Module:
    """torchvision's, which all five codes start from, without its classifier."""
    network = getattr(torchvision.models, arch)()
    network.fc = nn.Identity()
    return network


def find_width(arch: str) -> int:
    """Channels of a ResNet's last map."""
    return 512 if arch in ("resnet18", "resnet34") else 2048


def put(prefix: str, module: nn.Module) -> State:
    """A module's tensors below a prefix."""
    return {f"{prefix}.{name}": value for name, value in module.state_dict().items()}


def make_mlp(width: int, dim: int) -> nn.Module:
    """MoCo v2's head."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))


def write_contrast(arch: str, dim: int, branch: tuple[str, str] = ("conv16", "bn16")) -> State:
    """Query and key encoder, each with its head, and the rationale branch on the map of the query's."""
    width = find_width(arch)
    state: State = {}
    for encoder in ("encoder_q", "encoder_k"):
        state |= put(encoder, build_resnet(arch)) | put(f"{encoder}.fc", make_mlp(width, dim))
    state |= put(branch[0], nn.Conv2d(width, BRANCH_WIDTH, 1, bias=False))
    return state | put(branch[1], nn.BatchNorm2d(BRANCH_WIDTH))


def make_queue(name: str, dim: int, keys: int) -> State:
    """A queue; its pointer's name has the same ending."""
    ending = name.removeprefix("queue")
    return {name: torch.randn(dim, keys), f"queue_ptr{ending}": torch.zeros(1, dtype=torch.long)}


def wrap(state: State) -> State:
    """As DistributedDataParallel names it."""
    return {f"module.{name}": value for name, value in state.items()}


def save_optimizer() -> dict[str, object]:
    """An optimiser that never took a step."""
    return {"state": {}, "param_groups": [{"lr": 0.02, "momentum": 0.9, "params": [0, 1, 2]}]}


def write_lead(arch: str = "resnet50", dim: int = 512, keys: int = 256) -> dict[str, object]:
    """LEAD++'s model_last.pth."""
    state = write_contrast(arch, dim) | make_queue("queue", dim, keys) | make_queue("queue2", dim, keys)
    return {"epoch": 100, "state_dict": wrap(state), "optimizer": save_optimizer()}


def write_lead_linear(arch: str = "resnet50", dim: int = 512, keys: int = 256) -> dict[str, object]:
    """LEAD++'s file after the linear probe, which holds the frozen network and not the classifier."""
    state = write_contrast(arch, dim) | make_queue("queue", dim, keys) | make_queue("queue2", dim, keys)
    return {"epoch": 100, "state_dict": state, "best_acc1": 71.5}


def write_lcr_moco(arch: str = "resnet50", dim: int = 256, keys: int = 256) -> dict[str, object]:
    """LCR's checkpoint_0099.pth.tar: a second, masked contrast lies beside the first one, and was never trained."""
    width = find_width(arch)
    state = write_contrast(arch, dim) | make_queue("queue", dim, keys) | make_queue("queue_max", dim, keys)
    state |= put("conv16_2", nn.Conv2d(BRANCH_WIDTH, 1, 1, bias=False)) | put("bn16_2", nn.BatchNorm2d(1))
    state |= put("fc", nn.Linear(width, dim)) | put("qmax", make_mlp(width, dim)) | put("kmax", make_mlp(width, dim))
    return {"epoch": 100, "arch": arch, "state_dict": wrap(state), "optimizer": save_optimizer()}


class ByolHead(nn.Module):
    """Projector and predictor."""

    def __init__(self, width: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        self.layer2 = nn.Linear(hidden, dim)


def write_lcr_byol(arch: str = "resnet50", hidden: int = 4096, dim: int = 256) -> dict[str, object]:
    """LCR's BYOL: the online backbone and projector lie in the file twice, under two names."""
    width = find_width(arch)
    online, target = ([build_resnet(arch), ByolHead(width, hidden, dim)] for _ in range(2))
    state = put("backbone", online[0]) | put("projector", online[1])
    state |= put("online_encoder", nn.Sequential(*online)) | put("target_encoder", nn.Sequential(*target))
    state |= put("online_predictor", ByolHead(dim, hidden, dim))
    state |= put("conv16", nn.Conv2d(width, BRANCH_WIDTH, 1, bias=False)) | put("bn16", nn.BatchNorm2d(BRANCH_WIDTH))
    return {"epoch": 99, "state_dict": state}


def write_obdsd(arch: str = "resnet50", dim: int = 16) -> State:
    """OBD-SD's net.pth: every stage under two names, nothing beside the tensors."""
    body = build_resnet(arch)
    stages = [put(f"layer_blocks.{number - 1}", getattr(body, f"layer{number}")) for number in range(1, 5)]
    head = put("model.last_linear", nn.Linear(find_width(arch), dim))
    return put("model", body) | head | {name: value for stage in stages for name, value in stage.items()}


def write_obdsd_best(arch: str = "resnet50", dim: int = 16, *, tokens: str) -> dict[str, object]:
    """OBD-SD's checkpoint of its best epoch; `tokens` as in `resnet50_frozen_normalize_double`."""
    opt = argparse.Namespace(arch=f"resnet50_{tokens}", embed_dim=dim, loss="multisimilarity_obd_sd")
    return {"state_dict": write_obdsd(arch, dim), "opt": opt, "progress": {"epoch": 3}}


def write_convnext(arch: str = "convnext_tiny", classes: int = 11) -> dict[str, object]:
    """A teacher of the published ConvNeXt code, whose names are its paper's."""
    state = {}
    for name, value in timm.create_model(arch, num_classes=classes).state_dict().items():
        name = re.sub(r"^stem\.", "downsample_layers.0.", name)
        name = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
        name = re.sub(r"^head\.norm\.", "norm.", re.sub(r"^head\.fc\.", "head.", name))
        for timms, theirs in ((".blocks.", "."), ("conv_dw", "dwconv"), ("mlp.fc1", "pwconv1"), ("mlp.fc2", "pwconv2")):
            name = name.replace(timms, theirs)
        state[name] = value
    return {"model": state}


def write_deit(arch: str, classes: int, **options: object) -> dict[str, object]:
    """A student's checkpoint.pth; its network's names are timm's own."""
    make: Callable[..., nn.Module] = timm.create_model
    network = make(arch, num_classes=classes, **options)
    return {"model": network.state_dict(), "optimizer": save_optimizer(), "epoch": 59,
            "model_ema": {name: value * 0 for name, value in network.state_dict().items()},
            "args": argparse.Namespace(model=arch, lr=5e-5)}


def write_pim_vit(
    arch: str = "vit_base_patch16_224_miil", classes: int = 5, width: int = 32, selects: tuple[int, ...] = (32,) * 4,
    size: int = 448,
) -> dict[str, object]:
    """A plug-in module around a ViT: traced, so that its norm and head are gone; the class token is a position."""
    network = timm.create_model(arch, num_classes=0, img_size=size)
    assert isinstance(network, VisionTransformer)
    body = LastBlocks(network)
    positions = body.pos_embed.shape[1]
    plain = ReferenceTokenPim(body, [network.num_features] * 4, [positions] * 4, classes, width=width, selects=selects)
    return {"model": plain.state_dict(), "epoch": 49}


def write_pim_swin(
    classes: int = 12, width: int = 64, selects: tuple[int, ...] = (2048, 512, 128, 32)
) -> dict[str, object]:
    """A plug-in module around Swin-L at 384 pixels as timm 0.4.12 had it, with its head of 21,841 classes.

    Patches merge at the end of a stage there, and masks and indices of windows lie in the file.
    """
    network = timm.create_model("swin_large_patch4_window12_384", num_classes=21841)
    state = {}
    for name, value in network.state_dict().items():
        name = re.sub(r"layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", name)
        state["backbone." + name.replace("head.fc.", "head.")] = value
    for stage, (depth, side) in enumerate(((2, 96), (2, 48), (18, 24), (2, 12))):
        for block in range(depth):
            place = f"backbone.layers.{stage}.blocks.{block}"
            state[f"{place}.attn.relative_position_index"] = torch.zeros(144, 144, dtype=torch.long)
            if block % 2 and side > 12:
                state[f"{place}.attn_mask"] = torch.zeros((side // 12) ** 2, 144, 144)
    shapes = [2304, 576, 144, 144], [384, 768, 1536, 1536]
    plain = ReferenceTokenPim(nn.Identity(), shapes[1], shapes[0], classes, width=width, selects=selects)
    return {"model": state | plain.state_dict(), "epoch": 49}


def list_tensors(content: Mapping, before: str = "") -> dict[str, tuple[str, str]]:
    """Every entry of a file by name ("state_dict > module.queue"): its type, and a tensor's shape."""
    found = {}
    for name, value in content.items():
        if isinstance(value, Tensor):
            found[f"{before}{name}"] = (str(value.dtype).removeprefix("torch."), str(list(value.shape)))
        elif isinstance(value, Mapping):
            found |= list_tensors(value, f"{before}{name} > ")
        else:
            found[f"{before}{name}"] = (type(value).__name__, "")
    return found
