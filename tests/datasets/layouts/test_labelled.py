"""Stanford Dogs, FoodX-251 and NABirds as they are unpacked: labels, splits, names, and what is wrong with a tree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from datasets.files import decode
from datasets.images import find_undecodable, has_split, scan
from runtime.errors import DataError

DOGS = ["n02085620-Chihuahua/n02085620_7.jpg", "n02085620-Chihuahua/n02085620_8.jpg",
        "n02111889-Samoyed/n02111889_1.jpg", "n02111889-Samoyed/n02111889_2.jpg"]


def put(root: Path, *names: str) -> Path:
    """Small images at the given relative paths."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name)
    return root


def write_list(path: Path, *names: str) -> None:
    """A list as Stanford Dogs' are: a column of cells."""
    column = np.empty((len(names), 1), dtype=object)
    column[:, 0] = names
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"file_list": column})


def make_dogs(root: Path, folder: str = "lists") -> Path:
    """2 breeds, of each the first image for training."""
    put(root / "Images", *DOGS)
    write_list(root / folder / "file_list.mat", *DOGS)
    write_list(root / folder / "train_list.mat", *DOGS[::2])
    write_list(root / folder / "test_list.mat", *DOGS[1::2])
    return root


def make_food(root: Path, header: str = "", *, names: bool = True) -> Path:
    """3 foods, named out of the alphabet's order; a name has a space and one comes twice."""
    put(root, "train_set/a.jpg", "train_set/b.jpg", "train_set/c.jpg", "val_set/d.jpg")
    (root / "annot").mkdir()
    (root / "annot/train_info.csv").write_text(f"{header}a.jpg,2\nb.jpg,0\nc.jpg,1\n")
    (root / "annot/val_info.csv").write_text(f"{header}d.jpg,2\n")
    if names:
        (root / "annot/class_list.txt").write_text("0 macaron\n1 beignet\n2 baked potato\n3 cake\n")
    return root


def make_nabirds(root: Path) -> Path:
    """2 classes with images, of equal name, and a group of classes without any."""
    names = ["0295/a.jpg", "0295/b.jpg", "0817/c.jpg"]
    put(root / "images", *names)
    (root / "images.txt").write_text("".join(f"id-{place} {name}\n" for place, name in enumerate(names)))
    (root / "train_test_split.txt").write_text("id-0 1\nid-1 0\nid-2 1\n")
    (root / "classes.txt").write_text("0 Birds\n295 Snow Goose (White morph)\n817 Oak Titmouse\n")
    return root


@pytest.mark.parametrize("folder", ["lists", "splits", "."])
def test_dogs_are_split_by_their_lists(tmp_path: Path, folder: str) -> None:
    root = make_dogs(tmp_path, folder)
    train, test = scan(root), scan(root, "test")
    assert [sample.key for sample in train.samples] == [f"Images/{name}" for name in DOGS[::2]]
    assert [sample.key for sample in test.samples] == [f"Images/{name}" for name in DOGS[1::2]]
    assert train.classes == ("n02085620-Chihuahua", "n02111889-Samoyed") and test.labels.tolist() == [0, 1]
    assert train.samples[0].path.is_file()


def test_images_outside_of_the_lists_are_no_part_of_dogs(tmp_path: Path) -> None:
    root = put(make_dogs(tmp_path), "Images/n02111889-Samoyed/unlisted.jpg")
    assert len(scan(root)) == len(scan(root, "test")) == 2


def test_dogs_with_faults(tmp_path: Path) -> None:
    twice = make_dogs(tmp_path / "twice")
    write_list(twice / "lists/test_list.mat", DOGS[0])
    with pytest.raises(DataError, match="n02085620_7.*both lists|both lists.*n02085620_7"):
        scan(twice)
    half = make_dogs(tmp_path / "half")
    (half / "lists/test_list.mat").unlink()
    with pytest.raises(DataError, match="test_list.mat"):
        scan(half)
    broken = make_dogs(tmp_path / "broken")
    (broken / "lists/train_list.mat").write_bytes(b"no list")
    with pytest.raises(DataError, match="train_list.mat"):
        scan(broken)
    gone = make_dogs(tmp_path / "gone")
    (gone / "Images" / DOGS[1]).unlink()
    with pytest.raises(DataError, match="n02085620_8"):
        scan(gone)


@pytest.mark.parametrize("header", ["", "image_name,label\n", "img_name, Label\n", "\ufeff"])
def test_food_is_numbered_by_its_lists_and_val_is_its_test(tmp_path: Path, header: str) -> None:
    root = make_food(tmp_path, header)
    train, test = scan(root), scan(root, "test")
    assert train.labels.tolist() == [2, 0, 1] and test.labels.tolist() == [2]
    assert train.classes == ("macaron", "beignet", "baked potato", "cake")
    assert [sample.key for sample in test.samples] == ["val_set/d.jpg"] and not has_split(root, "val")


def test_food_without_names_is_named_by_numbers(tmp_path: Path) -> None:
    images = scan(make_food(tmp_path, names=False))
    assert images.classes == ("0", "1", "2") and images.labels.tolist() == [2, 0, 1]


def test_food_in_grey_and_cmyk_decodes_to_rgb(tmp_path: Path) -> None:
    root = make_food(tmp_path)
    Image.new("L", (4, 4), 77).save(root / "train_set/a.jpg")
    Image.new("CMYK", (4, 4), (0, 0, 0, 0)).save(root / "train_set/b.jpg")
    images = scan(root)
    assert find_undecodable(images, workers=1) == {}
    grey, white = (np.asarray(decode(sample.path)) for sample in images.samples[:2])
    assert grey.shape == white.shape == (4, 4, 3) and (grey == 77).all() and (white >= 254).all()


@pytest.mark.parametrize(("lines", "complaint"), [
    ("a.jpg,2\nb.jpg,soup\n", "line 2"), ("a.jpg\n", "line 1"), ("a.jpg,1\na.jpg,1\n", "a.jpg"),
    ("a.jpg,9\n", "class_list.txt"), ("z.jpg,1\n", "z.jpg")])
def test_food_with_faults(tmp_path: Path, lines: str, complaint: str) -> None:
    root = make_food(tmp_path)
    (root / "annot/train_info.csv").write_text(lines)
    with pytest.raises(DataError, match=complaint):
        scan(root)


def test_nabirds_take_names_from_the_list_and_labels_from_the_folders(tmp_path: Path) -> None:
    root = make_nabirds(tmp_path)
    train, test = scan(root), scan(root, "test")
    assert train.classes == ("Snow Goose (White morph)", "Oak Titmouse")
    assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [0]
    assert train.samples[1].key == "images/0817/c.jpg"


def test_nabirds_of_one_name_are_told_apart_and_unnamed_ones_refused(tmp_path: Path) -> None:
    root = make_nabirds(tmp_path)
    (root / "classes.txt").write_text("295 Goose\n817 Goose\n")
    assert scan(root).classes == ("Goose [295]", "Goose [817]")
    (root / "classes.txt").write_text("295 Goose\n")
    with pytest.raises(DataError, match="817"):
        scan(root)
