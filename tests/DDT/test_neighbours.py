"""The object of one picture, from itself and its neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from datasets.crops import Box
from datasets.images import scan
from DDT.descriptors import MapReading, prepare_backbone
from DDT.localize import Frame
from DDT.neighbours import locate_among, locate_first
from models.backbones import Backbone, build_backbone

CPU = torch.device("cpu")


def make_maps(count: int) -> torch.Tensor:
    """Maps [count, 6, 14, 14] with an object in rows 4..7 and columns 4..9, elsewhere in all but the first."""
    generator = torch.Generator().manual_seed(0)
    maps = 0.05 * torch.randn(count, 6, 14, 14, generator=generator)
    maps[0, 2, 4:8, 4:10] += 5.0
    maps[1:, 2, 8:12, 1:7] += 5.0
    return maps


@pytest.mark.parametrize("parts", [(16,), (1, 15), (7, 7, 2)])
def test_the_first_picture_s_object(parts: tuple[int, ...]) -> None:
    found = locate_first(make_maps(16).split(parts), Frame(280, 140), 448)
    assert found == Box(80, 40, 200, 80)


def test_no_object() -> None:
    assert locate_first([torch.ones(3, 6, 4, 4)], Frame(40, 40), 64) is None
    nothing = make_maps(4)
    nothing[0, 2, 4:8, 4:10] -= 5.0
    nothing[0, 2] -= 1.0
    assert locate_first([nothing], Frame(280, 140), 448) is None


@pytest.fixture
def backbone(tiny_weights: Path) -> Backbone:
    return prepare_backbone(build_backbone("resnet10t", str(tiny_weights), device=CPU))


def test_of_files(photo_tree: Path, backbone: Backbone) -> None:
    """The same box however the pictures are batched, in pixels of a picture of 64 x 48."""
    samples = scan(photo_tree).samples[:6]
    boxes = [locate_among(backbone, MapReading(size=96, batch_size=size), samples, CPU) for size in (4, 16)]
    assert boxes[0] is not None and boxes[0] == boxes[1]
    assert 0 <= boxes[0].x1 < boxes[0].x2 <= 64 and 0 <= boxes[0].y1 < boxes[0].y2 <= 48
    assert locate_among(backbone, MapReading(size=96), [], CPU) is None
