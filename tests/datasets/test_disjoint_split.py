"""Class-disjoint splits: every known tree gives the published split, and what is held out or flipped is what was asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from datasets.disjoint_split import DisjointSplit, choose_per_class, flip_labels, hold_out_validation, split_classes
from datasets.images import ImageSet, scan
from datasets.layouts.collections import Collection, read_collection
from datasets.layouts.listing import Sample
from runtime.errors import DataError


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def cub_names() -> list[str]:
    return [f"{c:03}.Bird{c}/b{c}_{i}.jpg" for c in range(1, 5) for i in range(2)]


def make_cub(root: Path, *, official: bool) -> Path:
    for name in cub_names():
        touch(root / "images" / name)
    if official:
        numbered = list(enumerate(cub_names(), start=1))
        (root / "images.txt").write_text("".join(f"{n} {name}\n" for n, name in numbered))
        (root / "train_test_split.txt").write_text("".join(f"{n} {n % 2}\n" for n, _ in numbered))
    else:
        (root / "images" / "._001.Bird1").mkdir()
        touch(root / "images" / "._001.Bird1" / "ghost.jpg")
        (root / "images" / "001.Bird1" / "._b1_0.jpg").write_bytes(b"no image")
    return root


@pytest.mark.parametrize("official", [True, False])
@pytest.mark.parametrize("place", [".", "cub200"])
def test_cub_is_halved_by_class_in_either_layout(tmp_path: Path, official: bool, place: str) -> None:
    make_cub(tmp_path / place, official=official)
    split = split_classes(read_collection(tmp_path, "cub200"))
    assert [s.key for s in split.train.samples] == [f"images/{name}" for name in cub_names()[:4]]
    assert split.train.labels.tolist() == [0, 0, 1, 1] and split.test.labels.tolist() == [2, 2, 3, 3]
    assert split.train_classes == 2 and split.train.classes[2] == "003.Bird3"


def test_cars_come_from_folders_in_ascii_order_or_from_the_annotations(tmp_path: Path) -> None:
    for name in ("BMW X", "Audi A", "audi b", "Zeta"):
        touch(tmp_path / "packed/images" / name / "1.jpg")
    packed = read_collection(tmp_path / "packed", "cars196")
    assert packed.classes == ("Audi A", "BMW X", "Zeta", "audi b")
    rows = np.array([("car_ims/000002.jpg", 2, 0), ("car_ims/000001.jpg", 1, 1), ("car_ims/000003.jpg", 3, 0)],
                    dtype=[("relative_im_path", object), ("class", object), ("test", object)])
    for path, *_ in rows:
        touch(tmp_path / "raw" / path)
    savemat(tmp_path / "raw/cars_annos.mat", {"annotations": rows, "class_names": np.array(["C", "B", "A"], object)})
    split = split_classes(read_collection(tmp_path / "raw"))
    assert [s.key for s in split.train.samples] == ["car_ims/000001.jpg", "car_ims/000002.jpg"]
    assert split.test.labels.tolist() == [2] and split.test.classes == ("C", "B", "A")
    (tmp_path / "raw/car_ims/000003.jpg").unlink()
    with pytest.raises(DataError, match="1 listed images are missing .car_ims/000003.jpg"):
        read_collection(tmp_path / "raw")


def make_split_cars(root: Path, *, meta: bool) -> Path:
    """Cars196 with a list for each split, in devkit/ and beside it; both splits have a 00001.jpg."""
    kinds = [("bbox_x1", object), ("class", object), ("fname", object)]
    lists = {"devkit/cars_train_annos.mat": [(1, 3, "00001.jpg"), (1, 1, "00002.jpg"), (1, 4, "00003.jpg")],
             "cars_test_annos_withlabels.mat": [(1, 2, "00001.jpg"), (1, 4, "00002.jpg")]}
    (root / "devkit").mkdir(parents=True)
    for name, rows in lists.items():
        savemat(root / name, {"annotations": np.array(rows, dtype=kinds)})
        for *_, photo in rows:
            touch(root / ("cars_train" if "train" in name else "cars_test/cars_test") / photo)
    if meta:
        savemat(root / "devkit/cars_meta.mat", {"class_names": np.array(["Z", "Ram C/V", "A", "B"], object)})
    return root


@pytest.mark.parametrize("meta", [True, False])
def test_cars_with_a_list_for_each_split_are_halved_by_their_official_numbers(tmp_path: Path, meta: bool) -> None:
    root = make_split_cars(tmp_path / "cars196", meta=meta)
    split = split_classes(read_collection(tmp_path, "cars196"))
    assert [(s.key, s.label) for s in split.train.samples] == [("cars_test/cars_test/00001.jpg", 1),
                                                               ("cars_train/00002.jpg", 0)]
    assert [(s.key, s.label) for s in split.test.samples] == [
        ("cars_test/cars_test/00002.jpg", 3), ("cars_train/00001.jpg", 2), ("cars_train/00003.jpg", 3)]
    assert split.train.classes == (("Z", "Ram CV", "A", "B") if meta else ("1", "2", "3", "4"))
    train = scan(root, "train")  # every other command reads the official split
    assert train.labels.tolist() == [2, 0, 3] and [s.path.name for s in train.samples][0] == "00001.jpg"
    assert scan(root, "test").labels.tolist() == [1, 3]


def test_damaged_or_absent_lists_of_cars_are_named(tmp_path: Path) -> None:
    root = make_split_cars(tmp_path, meta=True)
    savemat(root / "devkit/cars_meta.mat", {"class_names": np.array(["Z", "A", "A"], object)})
    with pytest.raises(DataError, match="cars_meta.mat: names 2 classes, and there are 4"):
        read_collection(root)
    savemat(root / "cars_test_annos_withlabels.mat", {"annotations": np.array([("1.jpg",)], dtype=[("fname", object)])})
    with pytest.raises(DataError, match="withlabels.mat: its annotations have no class; unpack"):
        read_collection(root)
    (root / "cars_test_annos_withlabels.mat").rename(root / "devkit/cars_test_annos.mat")
    with pytest.raises(DataError, match="no cars_test_annos_withlabels.mat .* has no labels"):
        read_collection(root)


@pytest.mark.parametrize("packed", [True, False])
def test_products_have_their_own_split(tmp_path: Path, packed: bool) -> None:
    base, lists = (tmp_path / "images", tmp_path / "Info_Files") if packed else (tmp_path, tmp_path)
    lists.mkdir(exist_ok=True)
    splits = {"train": [(1, "1_10"), (1, "1_2"), (2, "2_0"), (3, "3_0")], "test": [(4, "4_0"), (4, "4_1")]}
    for split, rows in splits.items():
        lines = ["image_id class_id super_class_id path"]
        for n, (number, name) in enumerate(rows, start=1):
            touch(base / f"sofa_final/{name}.JPG")
            lines.append(f"{n} {number} 1 sofa_final/{name}.JPG")
        (lists / f"Ebay_{split}.txt").write_text("\n".join(lines) + "\n")
    split = split_classes(read_collection(tmp_path))
    assert split.train.labels.tolist() == [0, 0, 1, 2] and split.test.labels.tolist() == [3, 3]
    assert [s.path.stem for s in split.train.samples][:2] == ["1_10", "1_2"]  # the lists' order
    with pytest.raises(DataError, match="overlap or have gaps"):
        (lists / "Ebay_test.txt").write_text("image_id class_id super_class_id path\n1 3 1 sofa_final/4_0.JPG\n")
        read_collection(tmp_path)


def collection(classes: int, each: int = 5) -> Collection:
    samples = tuple(Sample(Path(f"{c}/{i}"), f"{c}/{i}", c) for c in range(classes) for i in range(each))
    return Collection(Path("root"), samples, tuple(f"c{c}" for c in range(classes)))


def test_any_labelled_tree_is_halved_the_larger_half_trains(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in "abc":
            touch(tmp_path / split / name / f"{split}.jpg")
    split = split_classes(read_collection(tmp_path))
    assert split.train.labels.tolist() == [0, 1, 0, 1] and split.test.labels.tolist() == [2, 2]
    flat = tmp_path / "flat"
    touch(flat / "a.jpg")
    with pytest.raises(DataError, match="1 of 1 images have no label"):
        read_collection(flat)
    with pytest.raises(DataError, match="1 class cannot be split"):
        split_classes(collection(1))
    with pytest.raises(DataError, match="no such folder"):
        read_collection(tmp_path / "nowhere")


def test_partitions_are_other_orders_of_the_classes() -> None:
    usual, first, again, second = (split_classes(collection(9), seed) for seed in (None, 1, 1, 2))
    assert usual.train.classes == collection(9).classes and first == again and first != second
    for split in (first, second):
        assert split.train_classes == 5 and len(split.train) == 25 and sorted(split.test.classes) == list(
            collection(9).classes)
        for sample in split.train.samples + split.test.samples:
            assert split.train.classes[sample.label] == f"c{sample.key[0]}"
        assert set(split.train.labels.tolist()) == set(range(5)) and set(split.test.labels.tolist()) == {5, 6, 7, 8}


def test_validation_by_class_and_by_sample() -> None:
    split = split_classes(collection(10, each=5))
    by_class = hold_out_validation(split, 0.8)
    assert set(by_class.train.labels.tolist()) == {0, 1, 2, 3} and set(by_class.val.labels.tolist()) == {4}
    assert by_class.test == split.test and by_class.val.split == "val"
    by_sample = hold_out_validation(split, 0.8, by="sample", choice="first")
    assert Counter(by_sample.train.labels.tolist()) == dict.fromkeys(range(5), 4)
    assert {s.key[-1] for s in by_sample.val.samples} == {"4"}
    assert choose_per_class([0] * 6, 0.5, "even", 0) == {0, 2, 5}
    random = [choose_per_class([0] * 20 + [1] * 20, 0.5, "random", seed) for seed in (0, 0, 1)]
    assert random[0] == random[1] != random[2] and sum(place < 20 for place in random[0]) == 10
    with pytest.raises(DataError, match="leaves nothing to train or to validate"):
        hold_out_validation(split_classes(collection(2)), 0.8)


def test_noisy_labels() -> None:
    images: ImageSet = split_classes(collection(10, each=400)).train
    noisy = flip_labels(images, 0.3, seed=1)
    assert flip_labels(images, 0.3, seed=1) == noisy != flip_labels(images, 0.3, seed=2)
    changed = noisy.labels != images.labels
    assert abs(changed.double().mean() - 0.3) < 0.03 and flip_labels(images, 0.0) == images
    drawn = Counter(noisy.labels[changed & (images.labels == 0)].tolist())
    assert drawn.keys() == {1, 2, 3, 4} and min(drawn.values()) > 10  # never a test class
    assert bool((flip_labels(images, 1.0).labels != images.labels).all())
    with pytest.raises(DataError, match="not within 0..1"):
        flip_labels(images, 1.5)


def test_train_classes_are_those_of_the_whole_half() -> None:
    assert DisjointSplit(*([split_classes(collection(4)).train] * 2)).train_classes == 2
