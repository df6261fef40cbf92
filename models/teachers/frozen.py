"""Networks that only answer: the frozen teacher, one made of a backbone, and an ensemble of several."""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone
from models.weights.read import fingerprint
from models.weights.usual import CLIP_ARCH

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
WORTHWHILE = 0.9  # bfloat16 costs digits: it must save a tenth of the time

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class TeacherLook:
    """How a teacher is to look at images: normalisation, precision, size in pixels (None: its own), device.

    `clip_arch` is the CLIP of a teacher that is called no more than "clip".
    """

    norm: str
    precision: str
    size: int | None
    device: str | torch.device
    clip_arch: str = CLIP_ARCH


class WrappedNetwork(Protocol):
    """A network whose number format can be chosen: that of `net`, which is inside; `mean` [3, 1, 1] lies beside it."""

    @property
    def net(self) -> nn.Module:
        """What does the work."""

    @property
    def mean(self) -> Tensor:
        """What is subtracted from images."""

    def eval(self) -> object:
        """As of torch.nn.Module."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Images [B, 3, H, W] -> what it says of them."""


class FrozenTeacher(nn.Module, ABC, Generic[Network]):
    """A network that only answers. `size` is the side it looks at (pixels), `dim` the width of its answer.

    The network is held outside torch's registry: no optimiser, state dict or DDP ever sees it, `train()` does not reach
    it, and yet it follows `.to(device)`. `widths` are the parts of an answer, one per member of an ensemble.
    """

    def __init__(self, network: Network, *, size: int, dim: int, precision: str = "fp32") -> None:
        super().__init__()
        self._held = (network.eval().requires_grad_(False),)
        self.size, self.dim, self.precision = size, dim, precision
        self.widths: tuple[int, ...] = (dim,)

    @property
    def network(self) -> Network:
        """The frozen network; `network.net` is in the teacher's precision, `mean` and `std` are float32."""
        return self._held[0]

    def encode(self, images: Tensor) -> Tensor:
        """uint8 or float 0..1 [B, 3, H, H] of any H -> ordinary float32 [B, dim] without gradient."""
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self._answer(resize(images, self.size)).float()

    def forward(self, images: Tensor) -> Tensor:
        """The same as `encode`."""
        return self.encode(images)

    def fingerprint(self) -> str:
        """sha256 of the weights, for caches and result rows."""
        return fingerprint(self.network)

    @abstractmethod
    def _answer(self, images: Tensor) -> Tensor:
        """The answer to images of the teacher's own size."""

    def _apply(self, fn: Callable, recurse: bool = True) -> FrozenTeacher:
        self.network._apply(fn, recurse)
        return super()._apply(fn, recurse)


class ImageTeacher(FrozenTeacher[Backbone]):
    """A backbone's globally averaged last map; not normalised."""

    def _answer(self, images: Tensor) -> Tensor:
        return self.network.pool(self.network(images).float())


class EnsembleTeacher(FrozenTeacher[nn.ModuleList]):
    """Several teachers side by side: their answers concatenated [B, sum of dims], raw.

    `fit_space(features, parts=teacher.widths)` centres and balances them: that takes the whole training set.
    """

    def __init__(self, members: Sequence[FrozenTeacher]) -> None:
        precision = "+".join(member.precision for member in members)
        size, dim = max(member.size for member in members), sum(member.dim for member in members)
        super().__init__(nn.ModuleList(members), size=size, dim=dim, precision=precision)
        self.members = tuple(members)
        self.widths = tuple(member.dim for member in members)

    def encode(self, images: Tensor) -> Tensor:
        """As every member's `encode`, each at its own size, side by side."""
        return torch.cat([member.encode(images) for member in self.members], dim=1)

    def fingerprint(self) -> str:
        """The members' fingerprints, joined."""
        return "+".join(member.fingerprint() for member in self.members)

    def _answer(self, images: Tensor) -> Tensor:
        return self.encode(images)


def resize(images: Tensor, size: int) -> Tensor:
    """[B, 3, H, H] at `size` pixels (bicubic, antialiased); untouched when it has that size, else float 0..1."""
    if images.shape[-2:] == (size, size):
        return images
    images = images.float() / (255 if images.dtype == torch.uint8 else 1)
    return F.interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)


def set_norm(mean: Tensor, std: Tensor, norm: str) -> None:
    """With `norm` "student", put ImageNet's numbers in place of a network's own `mean` and `std` [3, 1, 1]."""
    if norm == "student":
        mean.copy_(torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        std.copy_(torch.tensor(IMAGENET_STD).view(3, 1, 1))


def settle_precision(network: WrappedNetwork, precision: str, size: int) -> str:
    """Put `network.net` into "fp32" or "bf16" and say which; "auto" measures both once on images of `size` pixels.

    Plain convolutions and attention gain from bfloat16 where the processor has it, depth-wise convolutions lose.
    """
    network.eval()
    if precision == "auto":
        seconds = {name: _time_answer(network, dtype, size) for name, dtype in PRECISIONS.items()}
        precision = "bf16" if seconds["bf16"] < WORTHWHILE * seconds["fp32"] else "fp32"
    network.net.to(PRECISIONS[precision])
    return precision


def _time_answer(network: WrappedNetwork, dtype: torch.dtype, size: int, images: int = 4) -> float:
    """Seconds of the faster of two passes, after one that warms up."""
    trial = copy.deepcopy(network)
    trial.net.to(dtype)
    batch = torch.zeros(images, 3, size, size, device=trial.mean.device)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        with torch.no_grad(), torch.autocast(batch.device.type, enabled=False):
            trial(batch).float().sum().item()  # .item() waits for the device
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
