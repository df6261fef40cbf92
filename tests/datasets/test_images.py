"""Scanning: every layout gives the right images, keys, labels and splits, and says what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.images import find_undecodable, has_split, scan, without
from runtime.errors import DataError


def put(root: Path, *names: str) -> Path:
    """Small images at the given relative paths."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name)
    return root


def make_cub(root: Path) -> Path:
    """A raw CUB tree of 2 classes: 3 training and 1 test images."""
    names = ["001.Crow/a.jpg", "001.Crow/b.jpg", "002.Owl/c.jpg", "002.Owl/d.jpg"]
    put(root / "images", *names)
    (root / "images.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(names, 1)))
    (root / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n4 2\n")
    (root / "train_test_split.txt").write_text("1 1\n2 0\n3 1\n4 1\n")
    (root / "classes.txt").write_text("1 001.Crow\n2 002.Owl\n")
    return root


def keys(root: Path, split: str = "train") -> list[str]:
    """Keys of a scanned split."""
    return [sample.key for sample in scan(root, split).samples]


def test_split_folders(photo_tree: Path) -> None:
    train, test = scan(photo_tree, "train"), scan(photo_tree, "test")
    assert (len(train), len(test)) == (24, 12)
    assert train.classes == test.classes == ("001.Red_bird", "002.Green_bird", "003.Blue_bird")
    assert train.samples[8].key == "train/002.Green_bird/002.Green_bird_00.jpg" and train.samples[8].path.is_file()
    assert train.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8


def test_labels_agree_between_splits_with_other_classes(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.jpg", "train/c/1.jpg", "test/b/1.jpg", "test/c/1.jpg")
    assert scan(tmp_path).labels.tolist() == [0, 2] and scan(tmp_path, "test").labels.tolist() == [1, 2]


def test_class_folders_alone_are_training_images(tmp_path: Path) -> None:
    images = scan(put(tmp_path, "owl/deep/2.png", "crow/1.JPG", "crow/.x.jpg"))
    assert [sample.key for sample in images.samples] == ["crow/1.JPG", "owl/deep/2.png"]
    assert images.classes == ("crow", "owl") and images.labels.tolist() == [0, 1]
    assert not has_split(tmp_path, "test")


def test_flat_folder_has_no_labels(tmp_path: Path) -> None:
    images = scan(put(tmp_path, "b.jpg", "a.png"))
    assert images.labels.tolist() == [-1, -1] and images.classes == ()
    assert [sample.key for sample in images.samples] == ["a.png", "b.jpg"]


def test_flat_split_folders(tmp_path: Path) -> None:
    put(tmp_path, "train/a.jpg", "val/b.jpg")
    assert keys(tmp_path) == ["train/a.jpg"] and keys(tmp_path, "val") == ["val/b.jpg"]


def test_loose_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 loose image"):
        scan(put(tmp_path, "owl/1.jpg", "2.jpg"))


def test_raw_cub(tmp_path: Path) -> None:
    root = make_cub(tmp_path)
    assert keys(root) == ["images/001.Crow/a.jpg", "images/002.Owl/c.jpg", "images/002.Owl/d.jpg"]
    assert keys(root, "test") == ["images/001.Crow/b.jpg"]
    assert scan(root).classes == ("001.Crow", "002.Owl") and scan(root).labels.tolist() == [0, 1, 1]


def test_raw_cub_names_missing_files(tmp_path: Path) -> None:
    root = make_cub(tmp_path)
    (root / "images/001.Crow/a.jpg").unlink()
    with pytest.raises(DataError, match="1 listed images.*001.Crow/a.jpg"):
        scan(root)


@pytest.mark.parametrize("inside", ["", "data"])
def test_raw_aircraft(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / inside
    put(folder / "images", "01.jpg", "02.jpg", "03.jpg")
    (folder / "images_variant_trainval.txt").write_text("02 F/A-18\n01 Cessna 172\n")
    (folder / "images_variant_test.txt").write_text("03 F/A-18\n")
    prefix = f"{inside}/" if inside else ""
    train = scan(tmp_path)
    assert [sample.key for sample in train.samples] == [f"{prefix}images/01.jpg", f"{prefix}images/02.jpg"]
    assert train.classes == ("Cessna 172", "FA-18") and train.labels.tolist() == [0, 1]
    assert scan(tmp_path, "test").labels.tolist() == [1]


def test_csv_with_everything(tmp_path: Path) -> None:
    put(tmp_path, "one, two.jpg", "sub/b.jpg", "c.jpg", "d.jpg")
    text = '\ufeffPath,label,split\n"one, two.jpg",owl,train\n\nsub\\b.jpg,crow,\n'
    text += "  c.jpg , crow , TEST \nd.jpg,,train\n"
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    train = scan(tmp_path / "list.csv")
    labels = {sample.key: sample.label for sample in train.samples}
    assert labels == {"d.jpg": None, "one, two.jpg": 1, "sub/b.jpg": 0}
    assert train.classes == ("crow", "owl") and train.labels.tolist() == [-1, 1, 0]
    assert keys(tmp_path / "list.csv", "test") == ["c.jpg"]


def test_csv_of_numbers_orders_classes_by_value(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "list.csv").write_text("path;label\na.jpg;10\nb.jpg;2\nc.jpg;0\n")
    assert scan(tmp_path / "list.csv").classes == ("0", "2", "10")


def test_csv_with_images_elsewhere(tmp_path: Path) -> None:
    put(tmp_path / "photos", "x/a.jpg", "y/b.jpg")
    (tmp_path / "lists").mkdir()
    list_file = tmp_path / "lists" / "all.csv"
    list_file.write_text(f"path\n../photos/x/a.jpg\n{tmp_path}/photos/y/b.jpg\n")
    assert keys(list_file) == ["x/a.jpg", "y/b.jpg"] and scan(list_file).root == tmp_path / "photos"


def test_csv_lists_every_problem_by_line(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / "list.csv").write_text("path,split\na.jpg,train\n\ngone.jpg,train\na.jpg,test\n,test\na.jpg,nope\n")
    with pytest.raises(DataError) as caught:
        scan(tmp_path / "list.csv")
    message = str(caught.value)
    parts = ["4 bad lines", "line 4: no file", "gone.jpg", "line 5: 'a.jpg' is on line 2", "line 6: no path", "line 7"]
    assert all(part in message for part in parts)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"file,label\na.jpg,1\n", "no path"), (b"", "no path"), (b"path\n", "no image"), (b"path\n\xff\xfe\n", "UTF-8")],
)
def test_unusable_csv(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"list.csv.*{complaint}"):
        scan(tmp_path / "list.csv")


def test_crop_folder_leads_to_the_original(photo_tree: Path, tmp_path: Path) -> None:
    crops = put(tmp_path / "crops", "train/001.Red_bird/x.jpg")
    (crops / "boxes.csv").write_text("path,x1,y1,x2,y2\n")
    (crops / "ddt.json").write_text(json.dumps({"root": str(photo_tree)}))
    assert scan(crops) == scan(photo_tree)
    shutil.rmtree(photo_tree)
    with pytest.raises(DataError, match="photos is gone"):
        scan(crops)


def test_missing_and_empty_and_splitless(tmp_path: Path, photo_tree: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root, split, complaint in (
        (tmp_path / "nowhere", "train", "no such folder"),
        (tmp_path / "empty", "train", "no image"),
        (photo_tree, "val", "only train, test"),
    ):
        with pytest.raises(DataError, match=complaint):
            scan(root, split)


def test_fingerprint_depends_on_names_and_labels_only(tmp_path: Path) -> None:
    here, there = put(tmp_path / "here", "x/1.jpg", "y/2.jpg"), put(tmp_path / "there", "x/1.jpg", "y/2.jpg")
    other = put(tmp_path / "other", "x/1.jpg", "y/3.jpg")
    assert scan(here).fingerprint() == scan(there).fingerprint() != scan(other).fingerprint()


def test_undecodable_files_are_found_and_left_out(photo_tree: Path) -> None:
    bad = photo_tree / "train/001.Red_bird/001.Red_bird_03.jpg"
    bad.write_bytes(bad.read_bytes()[:500])
    images = scan(photo_tree)
    found = find_undecodable(images, workers=2)
    assert list(found) == ["train/001.Red_bird/001.Red_bird_03.jpg"] and str(bad) in found[images.samples[3].key]
    rest = without(images, found)
    assert len(rest) == 23 and rest.classes == images.classes and bad not in [sample.path for sample in rest.samples]
    assert np.bincount(rest.labels.numpy()).tolist() == [7, 8, 8]


def test_nothing_left(photo_tree: Path) -> None:
    images = scan(photo_tree)
    with pytest.raises(DataError, match="none of the 24"):
        without(images, [sample.key for sample in images.samples])


@pytest.mark.shared
def test_real_birds(shared_data: Path) -> None:
    train, test = scan(shared_data / "cub10"), scan(shared_data / "cub10", "test")
    assert (len(train), len(test), len(train.classes)) == (300, 243, 10)
    assert find_undecodable(train) == {}


@pytest.mark.shared
def test_real_flat_folder(shared_data: Path) -> None:
    images = scan(shared_data / "imagenet1k_sample")
    assert len(images) == 1000 and images.classes == () and (images.labels == -1).all()
