"""Maps of images: order, batches, sizes, problems."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datasets.images import scan
from DDT.descriptors import MapBatch, MapReading, choose_map_precision, slice_batches, stream_maps
from DDT.localize import Frame
from models.backbones import Backbone, build_backbone
from runtime.errors import DataError

CPU = torch.device("cpu")
READING = MapReading(size=64, batch_size=5)


@pytest.fixture(scope="module")
def backbone(tiny_weights: Path) -> Backbone:
    return build_backbone("resnet10t", tiny_weights).eval()


def read(backbone: Backbone, photos: Path, reading: MapReading, first: int = 0) -> list[MapBatch]:
    batches = slice_batches([scan(photos).samples], reading.batch_size)
    return list(stream_maps(backbone, reading, CPU, batches[first:]))


def test_batches_hold_every_key_once_and_one_split(photo_tree: Path) -> None:
    train, test = scan(photo_tree, "train").samples, scan(photo_tree, "test").samples
    batches = slice_batches([train, test, train], 5)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 4, 5, 5, 2]
    assert [sample for batch in batches for sample in batch] == [*train, *test]
    assert batches[:5] == slice_batches([train], 5) == slice_batches([train + train[:3]], 5)
    assert slice_batches([(), ()], 3) == []


def test_every_image_once_in_order(backbone: Backbone, photo_tree: Path) -> None:
    batches = read(backbone, photo_tree, READING)
    assert [key for batch in batches for key in batch.keys] == [sample.key for sample in scan(photo_tree).samples]
    maps = torch.cat([batch.maps for batch in batches])
    assert maps.shape == (24, 512, 2, 2) and maps.dtype == torch.float32
    assert {frame for batch in batches for frame in batch.frames} == {Frame(64, 48)}
    alone = torch.cat([batch.maps for batch in read(backbone, photo_tree, replace(READING, batch_size=1))])
    assert torch.allclose(maps, alone, atol=1e-4)


def test_workers_and_continuing_change_nothing(backbone: Backbone, photo_tree: Path) -> None:
    here = read(backbone, photo_tree, READING)
    there = read(backbone, photo_tree, replace(READING, workers=2), first=2)
    for one, other in zip(here[2:], there, strict=True):
        assert one.keys == other.keys and torch.equal(one.maps, other.maps)


def test_one_forward_pass_per_image(backbone: Backbone, photo_tree: Path) -> None:
    seen = []
    handle = backbone.net.register_forward_pre_hook(lambda *_: seen.append(0))
    first = backbone.net.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    read(backbone, photo_tree, READING)
    handle.remove(), first.remove()
    assert sum(seen) == 24


def test_layers_and_banner(backbone: Backbone, photo_tree: Path) -> None:
    earlier = read(backbone, photo_tree, replace(READING, layer=-2))[0]
    assert earlier.maps.shape[1:] == (256, 4, 4)
    assert read(backbone, photo_tree, replace(READING, crop_bottom=20))[0].frames[0] == Frame(64, 28)


def test_all_problems_of_a_batch_in_one_message(backbone: Backbone, photo_tree: Path) -> None:
    folder = photo_tree / "train/001.Red_bird"
    for number in (1, 2):
        (folder / f"001.Red_bird_0{number}.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match="bird_01.jpg(.|\n)*bird_02.jpg(.|\n)*--skip-bad"):
        read(backbone, photo_tree, READING)


def test_precision(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_map_precision("bf16", CPU, backbone) == "bf16"
    monkeypatch.setattr("DDT.descriptors.has_amx", lambda: False)
    assert choose_map_precision("auto", CPU, backbone) == "fp32"
    monkeypatch.setattr("DDT.descriptors.has_amx", lambda: True)
    assert choose_map_precision("auto", CPU, backbone) == "bf16"
    assert choose_map_precision("auto", CPU, build_backbone("test_efficientnet")) == "fp32"  # depth-wise
