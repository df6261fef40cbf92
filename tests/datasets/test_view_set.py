"""Full pictures and crops: boxes, crop files, and views that depend on their own seed alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import view_set as multi_context
from datasets.crops import Box, Crops, cut, read_boxes
from datasets.files import load_photo
from datasets.images import ImageSet, scan
from datasets.sampling.batches import Draw
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from runtime.errors import DataError

FULL, CROP = View("full", "mocov2", 16), View("crop", "mocov2", 16)
FOUR = {"v1": FULL, "v2": FULL, "v3": CROP, "v4": CROP}


def write_boxes(root: Path, images: ImageSet, box: str = "16,12,48,36") -> Path:
    """boxes.csv with one box for all images of a set."""
    root.mkdir(exist_ok=True)
    rows = "".join(f"{sample.key},{box}\n" for sample in images.samples)
    (root / "boxes.csv").write_text("path,x1,y1,x2,y2\n" + rows)
    return root


@pytest.fixture
def images(photo_tree: Path) -> ImageSet:
    """24 training photos."""
    return scan(photo_tree)


@pytest.fixture
def crops(images: ImageSet, tmp_path: Path) -> Crops:
    """Boxes of the coloured squares."""
    return Crops.open(write_boxes(tmp_path / "crops", images))


def write_crop_files(images: ImageSet, root: Path) -> Path:
    """Lossless crops of the coloured squares at the mirrored paths (PNG data under a .jpg name)."""
    for sample in images.samples:
        (root / sample.key).parent.mkdir(parents=True, exist_ok=True)
        Image.open(sample.path).crop((16, 12, 48, 36)).save(root / sample.key, format="png")
    return root


def test_read_boxes_with_further_columns(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("path,x1,y1,x2,y2,width,height\ntrain/a.jpg,-3.5,0,20,1e2,30,90\n")
    assert read_boxes(path) == {"train/a.jpg": Box(-3.5, 0.0, 20.0, 100.0)}


def test_bad_boxes_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    rows = ["a,5,5,5,9", "b,1,1,9,9", "c,x,1,2,3", "d,1,nan,2,3", "e,40,1,50,9,30,30", "f,-9,1,-1,9", "g,1,1,9"]
    path.write_text("path,x1,y1,x2,y2,width,height\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError) as caught:
        read_boxes(path)
    message = str(caught.value)
    assert "6 bad boxes" in message and "line 3" not in message
    for part in ("line 2: a", "line 4: c", "line 5: d", "line 6: e", "line 7: f", "line 8: g"):
        assert part in message


def test_box_files_that_are_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_boxes(tmp_path / "boxes.csv")
    (tmp_path / "boxes.csv").write_text("path,x,y,w,h\n")
    with pytest.raises(DataError, match="x1, y1, x2, y2"):
        read_boxes(tmp_path / "boxes.csv")
    with pytest.raises(DataError, match="run DDT first"):
        Crops.open(tmp_path / "nowhere")


def test_cut_clips_to_the_image() -> None:
    image = Image.fromarray(np.arange(20 * 30, dtype=np.uint16).astype(np.uint8).reshape(20, 30)).convert("RGB")
    pixels = np.asarray(image)
    assert np.array_equal(np.asarray(cut(image, Box(-5, 2.7, 10.2, 99))), pixels[2:, :11])
    assert cut(image, Box(4.2, 4.2, 4.4, 4.4)).size == (1, 1)
    assert np.array_equal(np.asarray(cut(image, Box(8, 4, 40, 24), scale=0.5)), pixels[2:12, 4:20])
    with pytest.raises(DataError, match="train/x.jpg"):
        cut(image, Box(30, 0, 40, 5), key="train/x.jpg")


def test_boxes_count_from_the_top_of_the_uncropped_image(images: ImageSet, crops: Crops) -> None:
    views = {"crop": View("crop", "squash-exact", 24)}
    whole = ViewSet(images, views, crops=crops)[Draw(0)].views["crop"]
    assert torch.equal(whole, ViewSet(images, views, crops=crops, crop_bottom=10)[Draw(0)].views["crop"])


def test_crop_files_and_boxes_show_the_same(images: ImageSet, crops: Crops, tmp_path: Path) -> None:
    files = Crops.open(write_crop_files(images, tmp_path / "files"))
    assert files.boxes is None
    by_box, by_file = (ViewSet(images, FOUR, crops=source)[Draw(9, epoch=2)] for source in (crops, files))
    assert all(torch.equal(by_box.views[name], by_file.views[name]) for name in FOUR)


def test_preference_between_boxes_and_files(images: ImageSet, tmp_path: Path) -> None:
    root = write_boxes(write_crop_files(images, tmp_path / "both"), images)
    assert Crops.open(root).boxes is not None and Crops.open(root / "boxes.csv").boxes is not None
    assert Crops.open(root, prefer="files").boxes is None


def test_one_decode_serves_all_views(images: ImageSet, crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    monkeypatch.setattr(multi_context, "load_photo", lambda path, *rest: paths.append(path) or load_photo(path, *rest))
    ViewSet(images, FOUR, crops=crops)[Draw(3)]
    assert paths == [images.samples[3].path]


def test_crop_files_alone_leave_the_full_picture_closed(images: ImageSet, tmp_path: Path) -> None:
    crops = Crops.open(write_crop_files(images, tmp_path / "files"))
    images.samples[0].path.write_bytes(b"broken")
    assert ViewSet(images, {"v": CROP}, crops=crops)[Draw(0)].views["v"].shape == (3, 16, 16)


def test_missing_crops_are_listed_at_construction(images: ImageSet, crops: Crops, photo_tree: Path) -> None:
    with pytest.raises(DataError, match="v3, v4.*run DDT"):
        ViewSet(images, FOUR)
    with pytest.raises(DataError, match=r"12 of 12 images of test.*test/001.Red_bird/001.Red_bird_00.jpg.*2 more"):
        ViewSet(scan(photo_tree, "test"), FOUR, crops=crops)
    files = Crops.open(photo_tree / "test", prefer="files")
    assert len(files.missing(images)) == 24 and crops.missing(images) == []


def test_views_depend_on_their_own_seed_alone(images: ImageSet, crops: Crops) -> None:
    data = ViewSet(images, FOUR, crops=crops, seed=5)
    first = data[Draw(4, epoch=1)].views
    data[Draw(7)]
    torch.manual_seed(99)
    again = data[Draw(4, epoch=1)].views
    alone = ViewSet(images, {"v2": FULL}, seed=5)[Draw(4, epoch=1)].views
    assert all(torch.equal(first[name], again[name]) for name in FOUR) and torch.equal(first["v2"], alone["v2"])


@pytest.mark.parametrize("other", [Draw(4, epoch=2), Draw(4, epoch=1, repeat=1)])
def test_epoch_repeat_view_and_seed_change_the_view(images: ImageSet, crops: Crops, other: Draw) -> None:
    data = ViewSet(images, FOUR, crops=crops, seed=5)
    first = data[Draw(4, epoch=1)].views
    assert not torch.equal(first["v1"], first["v2"]) and not torch.equal(first["v3"], first["v4"])
    assert not torch.equal(first["v1"], data[other].views["v1"])
    assert not torch.equal(first["v1"], ViewSet(images, FOUR, crops=crops, seed=6)[Draw(4, epoch=1)].views["v1"])


def test_global_generators_are_left_alone(images: ImageSet) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    ViewSet(images, {"v1": FULL})[Draw(0)]
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_labels_and_indices(images: ImageSet, tmp_path: Path) -> None:
    item = ViewSet(images, {"v1": FULL})[Draw(23)]
    assert (item.index, item.label) == (23, 2)
    Image.new("RGB", (5, 5)).save(tmp_path / "photos" / "train" / "001.Red_bird" / "z.png")
    flat = scan(tmp_path / "photos" / "train" / "001.Red_bird")
    assert ViewSet(flat, {"v1": FULL})[Draw(0)].label == -1


def test_size_hint_scales_boxes_too(tmp_path: Path) -> None:
    y, x = np.mgrid[:640, :640]
    (tmp_path / "photos").mkdir()
    pixels = np.stack([x / 3, y / 3, x * 0 + 90], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos/a.jpg", quality=95)
    (tmp_path / "boxes.csv").write_text("path,x1,y1,x2,y2\na.jpg,320,160,640,480\n")
    views = {"v": View("crop", "squash-exact", 32)}
    images, crops = scan(tmp_path / "photos"), Crops.open(tmp_path)
    exact, small = (ViewSet(images, views, crops=crops, size_hint=hint)[Draw(0)].views["v"] for hint in (None, 160))
    assert (exact.float() - small.float()).abs().mean() < 2


@pytest.mark.shared
def test_real_boxes_frame_the_bird(shared_data: Path) -> None:
    images, crops = scan(shared_data / "cub10"), Crops.open(shared_data / "cub10")
    item = ViewSet(images, FOUR, crops=crops)[Draw(0)]
    assert crops.missing(images) == [] and item.views["v3"].float().std() > 5
