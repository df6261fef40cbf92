"""Extraction: placed by index, independent of batches, cached under all it depends on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from datasets.crops import Box, Crops
from datasets.images import ImageSet, scan
from datasets.views.recipes import View
from evaluation.features import extract as module
from evaluation.features.extract import extract
from models.weights.read import fingerprint
from runtime.errors import DataError

VIEW = View("full", "eval", 24)


class Tiny(nn.Module):
    """A network with batch norm whose statistics are not those of any batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        pool = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), pool)
        self.net[1].running_mean.uniform_(-1, 1)
        self.calls = 0

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        rows = self.net(images.float() / 255)
        return {"backbone": rows, "head": rows[:, :3]}


@pytest.fixture
def tiny() -> Tiny:
    return Tiny().eval()


@pytest.fixture
def images(photo_tree: Path) -> ImageSet:
    return scan(photo_tree, "train")


def test_rows_do_not_depend_on_batch_size_workers_or_order(tiny: Tiny, images: ImageSet) -> None:
    whole = extract(tiny.outputs, images, VIEW, batch_size=24)
    for how in ({"batch_size": 5, "workers": 2}, {"batch_size": 1}):
        other = extract(tiny.outputs, images, VIEW, **how)
        assert torch.allclose(other.tensors["backbone"], whole.tensors["backbone"], atol=1e-6)
    turned = replace(images, samples=images.samples[::-1])
    reverse = extract(tiny.outputs, turned, VIEW, batch_size=7)
    assert torch.allclose(reverse.tensors["head"].flip(0), whole.tensors["head"], atol=1e-6)
    assert reverse.keys == whole.keys[::-1] and torch.equal(reverse.labels.flip(0), whole.labels)
    assert whole.tensors["backbone"].dtype == torch.float32 and not whole.tensors["backbone"].requires_grad
    assert whole.images_per_second > 0


def test_ranks_share_the_images_and_rows_return_to_their_place(
    tiny: Tiny, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = extract(tiny.outputs, images, VIEW)
    shares = []
    for rank in range(5):  # 24 images over 5 ranks: unequal shares
        monkeypatch.setattr(module.distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(module.distributed, "world", lambda: 5)
        monkeypatch.setattr(module.distributed, "gather_objects", lambda share: shares.append(share) or [share])
        with pytest.raises(RuntimeError, match="of 24 images"):  # one share alone is not everything
            extract(tiny.outputs, images, VIEW)
    monkeypatch.setattr(module.distributed, "gather_objects", lambda share: shares)
    together = extract(tiny.outputs, images, VIEW)
    assert torch.allclose(together.tensors["backbone"], alone.tensors["backbone"], atol=1e-6)


def test_cache_hits_for_the_same_question_only(tiny: Tiny, images: ImageSet, tmp_path: Path) -> None:
    def ask(images: ImageSet = images, view: View = VIEW, **more: object) -> bool:
        found = extract(tiny.outputs, images, view, caches=[tmp_path / "cache"], cache_key=fingerprint(tiny), **more)
        fresh = extract(tiny.outputs, images, view)
        assert torch.allclose(found.tensors["backbone"], fresh.tensors["backbone"], atol=2e-2)
        return found.cached

    assert not ask() and ask() and ask(batch_size=3)
    assert not ask(view=View("full", "squash", 24)) and not ask(precision="bf16")
    assert ask(images=replace(images, samples=images.samples[:0:-1]))  # another list, every picture of which is known
    with torch.no_grad():
        tiny.net[0].weight[0] += 1e-3
    assert not ask() and ask()
    os.utime(images.samples[0].path, ns=(1, 1))  # touched: its content is what it was
    assert ask()
    images.samples[0].path.write_bytes(images.samples[1].path.read_bytes() + b"\n")  # a file that changed
    assert not ask() and ask()


def test_cached_rows_are_the_same_bits_and_a_torn_file_is_replaced(
    tiny: Tiny, images: ImageSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = extract(tiny.outputs, images, VIEW, caches=[tmp_path], cache_key="x")
    calls = tiny.calls
    second = extract(tiny.outputs, images, VIEW, caches=[tmp_path], cache_key="x")
    assert second.cached and tiny.calls == calls
    assert all(torch.equal(second.tensors[name], first.tensors[name]) for name in ("backbone", "head"))
    assert second.images_per_second == pytest.approx(first.images_per_second, rel=1e-9)
    (path,) = tmp_path.rglob("shard-*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    third = extract(tiny.outputs, images, VIEW, caches=[tmp_path], cache_key="x")
    assert f"{path} is damaged" in capsys.readouterr().err
    assert not third.cached and torch.equal(third.tensors["head"], first.tensors["head"])
    assert extract(tiny.outputs, images, VIEW, caches=[tmp_path], cache_key="x").cached


def test_boxes_are_part_of_the_question(tiny: Tiny, images: ImageSet, tmp_path: Path) -> None:
    view = View("crop", "eval", 24)
    boxes = {sample.key: Box(16, 12, 48, 36) for sample in images.samples}
    first = extract(tiny.outputs, images, view, crops=Crops(tmp_path, boxes), caches=[tmp_path])
    assert extract(tiny.outputs, images, view, crops=Crops(tmp_path, dict(boxes)), caches=[tmp_path]).cached
    moved = boxes | {images.samples[3].key: Box(0, 0, 20, 20)}
    other = extract(tiny.outputs, images, view, crops=Crops(tmp_path, moved), caches=[tmp_path])
    assert not other.cached
    differs = (other.tensors["backbone"] - first.tensors["backbone"]).abs().amax(dim=1) > 1e-4
    assert differs.nonzero().flatten().tolist() == [3]


def test_random_views_are_a_function_of_seed_and_epoch(tiny: Tiny, images: ImageSet) -> None:
    view = View("full", "probe", 24)
    draws = ({"seed": 0, "epoch": 0}, {"seed": 0, "epoch": 1}, {"seed": 1, "epoch": 0})
    rows = [extract(tiny.outputs, images, view, **draw).tensors["head"] for draw in draws]
    again = extract(tiny.outputs, images, view, seed=0, epoch=1, batch_size=5).tensors["head"]
    assert torch.allclose(rows[1], again, atol=1e-6)
    assert not torch.allclose(rows[0], rows[1], atol=1e-3) and not torch.allclose(rows[0], rows[2], atol=1e-3)


def test_an_unreadable_image_is_named(tiny: Tiny, images: ImageSet) -> None:
    images.samples[4].path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=images.samples[4].path.name):
        extract(tiny.outputs, images, VIEW)
