"""Small networks and batches in the place of real ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasets.loader import Batch
from methods.method import Clock
from models.teachers.guide import LiveGuide, Prototypes

WIDTH, DIM = 12, 8


@contextmanager
def in_float64() -> Iterator[None]:
    """Everything that is built meanwhile is float64, and so is what our code calls float32.

    Where two ways of computing one thing are compared, single precision leaves each as far from the truth as kernels
    and threads will have it; here both are so near to it that only another formula can keep them apart.
    """
    usual, single = torch.get_default_dtype(), Tensor.float
    torch.set_default_dtype(torch.float64)
    Tensor.float = Tensor.double
    try:
        yield
    finally:
        Tensor.float = single
        torch.set_default_dtype(usual)


class TinyBackbone(nn.Module):
    """Two convolutions, 16 px -> map [B, 12, 4, 4], with the surface of models.backbones.Backbone."""

    arch = "tiny"
    num_features = WIDTH
    input_size = 16
    skips_max_pool = False

    def __init__(self, *, norm: bool = True) -> None:
        super().__init__()
        norms = [nn.BatchNorm2d(WIDTH), nn.BatchNorm2d(WIDTH)] if norm else [nn.Identity(), nn.Identity()]
        first = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1, bias=False)
        second = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False)
        self.net = nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1], nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.float() / 128 - 1)

    def pool(self, feature_map: Tensor) -> Tensor:
        return feature_map.mean(dim=(2, 3))


class TinyTeacher(nn.Module):
    """A frozen linear look at 4 x 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, DIM)

    def encode(self, images: Tensor) -> Tensor:
        return self.linear(F.adaptive_avg_pool2d(images.float() / 64 - 2, 4).flatten(1))

    forward = encode


def make_guide(count: int = 7, temperature: float = 0.1) -> LiveGuide:
    """A live guide of `count` prototypes."""
    rows = F.normalize(torch.randn(count, DIM), dim=1)
    return LiveGuide(TinyTeacher().requires_grad_(False), {"text": Prototypes(rows, temperature)})


def make_batch(size: int, *, first: int = 0, seed: int = 0) -> Batch:
    """`size` images with ids from `first`, in every view that a method here asks for."""
    generator = torch.Generator().manual_seed(seed)
    names = ("v1", "v2", "v3", "v4", "query", "key")
    views = {
        name: torch.randint(0, 256, (size, 3, 16, 16), dtype=torch.uint8, generator=generator) for name in names
    }
    return Batch(views, torch.arange(first, first + size), torch.full((size,), -1))


def clock(step: int = 0) -> Clock:
    """The clock of a run of 10 steps and one epoch."""
    return Clock(step, 10, 0, 1)
