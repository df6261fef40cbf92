"""Folders as people keep them: other words for splits, a cover picture, a camera's card, an old run's results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from datasets.layouts.findings import describe_listing
from datasets.layouts.folders.names import recognise_splits
from datasets.layouts.read import read_listing
from runtime.errors import DataError


def plant(root: Path, *names: str) -> Path:
    """Empty files; reading a listing opens none."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def counts(root: Path, labels: str = "searched") -> dict[str, int]:
    """Images by `split/class`."""
    return dict(Counter(f"{entry.split}/{entry.class_name}" for entry in read_listing(root, labels).entries))


@pytest.mark.parametrize(("names", "expected"), [
    (["birds_train", "birds_test"], {"birds_train": "train", "birds_test": "test"}),
    (["1_train", "2_val", "3_test"], {"1_train": "train", "2_val": "val", "3_test": "test"}),
    (["train", "test1"], {"train": "train", "test1": "test"}),
    (["my-valid-images", "my-train-images"], {"my-valid-images": "val", "my-train-images": "train"}),
    (["train", "train_small", "test"], {"train": "train", "test": "test"}),
    (["train", "test", "a_train", "a_test"], {"train": "train", "test": "test"}),
    (["train_1", "train_2", "test"], {"test": "test"}),
    (["a_train", "a_test", "b_train", "b_test"], {}),
    (["test1", "test2", "test3"], {}),
    (["blood test", "owl"], {}),
    (["2019", "2020"], {}),
])
def test_splits_beside_one_another(names: list[str], expected: dict[str, str]) -> None:
    assert recognise_splits(names) == expected


def test_split_folders_that_share_a_word(tmp_path: Path) -> None:
    root = plant(tmp_path, "cub_train/a/0.jpg", "cub_train/b/0.jpg", "cub_test/a/0.jpg", "cub_more/0.jpg")
    assert counts(root) == {"train/a": 1, "train/b": 1, "test/a": 1}
    words = describe_listing(read_listing(root))
    assert "cub_train/ is read as train" in words and "1 beside the splits in cub_more/" in words


def test_folders_within_folders_that_share_a_word_are_splits_too(tmp_path: Path) -> None:
    root = plant(tmp_path, "x/x_train/a/0.jpg", "x/x_test/a/0.jpg", "y/0.jpg")
    with pytest.raises(DataError, match="x_test/, x_train/ lie in x/"):
        read_listing(root)


def test_a_refusal_says_what_to_do_about_unknown_words_for_splits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name them train, val or test"):
        read_listing(plant(tmp_path, "training/a/0.jpg", "evaluation/a/0.jpg"))


@pytest.mark.parametrize("folders", [("Val", "Tom", "Ann"), ("valid", "invalid"), ("valid", "not_valid")])
def test_classes_named_as_a_validation_split(tmp_path: Path, folders: tuple[str, ...]) -> None:
    assert counts(plant(tmp_path, *(f"{name}/0.jpg" for name in folders))) == {f"train/{name}": 1 for name in folders}


def test_a_loose_picture_or_two_are_left_out_where_labels_count(tmp_path: Path) -> None:
    root = plant(tmp_path, "a/0.jpg", "b/0.jpg", "c/0.jpg", "cover.jpg", "map.png")
    for labels in ("searched", "learned"):
        assert counts(root, labels) == {"train/a": 1, "train/b": 1, "train/c": 1}
    assert "left out: 2 beside the class folders" in describe_listing(read_listing(root))
    assert len(read_listing(root, "ignored").entries) == 5
    with pytest.raises(DataError, match="3 loose images"):
        read_listing(plant(root, "more.jpg"))


def test_a_loose_picture_hides_no_other_doubt(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="or images/ is the data set"):
        read_listing(plant(tmp_path, "a/0.jpg", "images/0.jpg", "cover.jpg"))


def test_folders_of_a_camera_are_no_classes(tmp_path: Path) -> None:
    root = plant(tmp_path, "DCIM/100CANON/0.JPG", "DCIM/101CANON/1.JPG", "MISC/card.ctg")
    for place in (root, root / "DCIM"):
        assert counts(place) == {"train/None": 2}
        assert "a camera's, no classes" in describe_listing(read_listing(place))


@pytest.mark.parametrize("split", ["", "train/"])
def test_results_of_an_old_run_are_no_class(tmp_path: Path, split: str) -> None:
    root = plant(tmp_path, f"{split}a/0.jpg", f"{split}b/0.jpg", "out/curves.png", "out/args.json")
    assert counts(root) == {"train/a": 1, "train/b": 1}
    assert "1 in out/" in describe_listing(read_listing(root))


def test_masks_beside_their_pictures(tmp_path: Path) -> None:
    root = plant(tmp_path, "sick/a (1).png", "sick/a (1)_mask.png", "sick/a (1)_mask_1.png", "sick/a (2).png",
                 "well/b.png", "well/b_mask.png", "cat/tom.png", "cat/tom_mask.png", "cat/1.png", "cat/2.png",
                 "worn/1_mask.png", "worn/2-mask.png")
    assert counts(root) == {"train/sick": 2, "train/well": 1, "train/cat": 4, "train/worn": 2}
    assert "left out: 3 masks by their names" in describe_listing(read_listing(root))


@pytest.mark.parametrize("names", [("images_001/images", "images_002/images"), ("X_images_part_1", "X_images_part_2")])
def test_numbered_parts_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = plant(tmp_path, *(f"{name}/{number}.png" for number, name in enumerate(names)))
    with pytest.raises(DataError, match="or parts of one set"):
        read_listing(root)
    assert counts(root, "ignored") == {"train/None": 2}


def test_numbered_classes_are_classes(tmp_path: Path) -> None:
    assert counts(plant(tmp_path, "class1/0.png", "class2/0.png")) == {"train/class1": 1, "train/class2": 1}


def test_a_note_on_every_split_is_given_once(tmp_path: Path) -> None:
    root = plant(tmp_path, *(f"{split}/{group}/{name}/0.jpg" for split in ("train", "val")
                             for group, name in (("Aves", "Crow"), ("Mammalia", "Lynx"))))
    assert describe_listing(read_listing(root)).count("all images lie deeper") == 1
