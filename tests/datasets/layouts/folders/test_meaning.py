"""What a folder is: small trees as people and archives make them, and what is read, said or refused."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from datasets.images import first_split, has_split, scan
from datasets.layouts.collections import read_collection
from datasets.layouts.findings import VOICE, announce, begin_run, describe_listing, name_left_out
from datasets.layouts.read import read_listing
from datasets.walk import read_folder
from runtime.errors import DataError
from tests.datasets.test_images import make_cub


def plant(root: Path, *names: str) -> Path:
    """Files at the given paths, pictures where the suffix says so; `a/*3.png` makes a/0.png, a/1.png, a/2.png."""
    for name in names:
        stem, _, rest = name.partition("*")
        for path in [f"{stem}{n}{rest[1:]}" for n in range(int(rest[0]))] if rest else [name]:
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix.lower() in (".png", ".jpg"):
                Image.new("RGB", (4, 4)).save(file)
            else:
                file.write_bytes(b"x")
    return root


def counts(root: Path, labels: str = "searched") -> dict[str, int]:
    """Images by `split/class`."""
    return dict(Counter(f"{entry.split}/{entry.class_name}" for entry in read_listing(root, labels).entries))


TREES = {
    "valid": (["train/a/*2.png", "train/b/*2.png", "valid/a/*1.png", "test/b/*1.png"],
              {"train/a": 2, "train/b": 2, "val/a": 1, "test/b": 1}),
    "capitals": (["TRAIN/a/*2.png", "Validation/a/*1.png", "Testing/a/*1.png"],
                 {"train/a": 2, "val/a": 1, "test/a": 1}),
    "joined words": (["train_set/a/*1.png", "Test Images/a/*1.png", "val2017/a/*1.png"],
                     {"train/a": 1, "test/a": 1, "val/a": 1}),
    "class named train": (["bus/*3.png", "car/*3.png", "train/*3.png"],
                          {"train/bus": 3, "train/car": 3, "train/train": 3}),
    "wrapper": (["PetImages/Cat/*2.png", "PetImages/Dog/*2.png", "readme.txt"], {"train/Cat": 2, "train/Dog": 2}),
    "wrapper twice": (["archive/archive/train/a/*2.png", "archive/archive/test/a/*1.png"], {"train/a": 2, "test/a": 1}),
    "wrapper named as a split": (["Training/train/a/*1.png", "Training/test/a/*1.png"], {"train/a": 1, "test/a": 1}),
    "wrapped splits": (["seg_train/seg_train/a/*2.png", "seg_train/seg_train/b/*1.png", "seg_test/seg_test/a/*1.png"],
                       {"train/a": 2, "train/b": 1, "test/a": 1}),
    "yolo": (["images/train/*2.jpg", "images/val/*1.jpg", "labels/train/0.txt"], {"train/None": 2, "val/None": 1}),
    "roboflow": (["train/images/*2.jpg", "train/labels/0.txt", "valid/images/*1.jpg", "data.yaml"],
                 {"train/None": 2, "val/None": 1}),
    "pets": (["images/*3.jpg", "annotations/trimaps/*3.png", "annotations/list.txt"], {"train/None": 3}),
    "voc": (["JPEGImages/*3.jpg", "SegmentationClass/*3.png", "Annotations/0.xml"], {"train/None": 3}),
    "masks within splits": (["train/images/a/*2.jpg", "train/images/b/*1.jpg", "train/masks/a/*2.png"],
                            {"train/a": 2, "train/b": 1}),
    "masks beside splits": (["train/a/*2.jpg", "masks/a/*2.png"], {"train/a": 2}),
    "loose and masks": (["*2.jpg", "masks/*2.png"], {"train/None": 2}),
    "masks within classes": (["sick/images/*2.png", "sick/masks/*2.png", "well/images/*1.png", "well/masks/*1.png"],
                             {"train/sick": 2, "train/well": 1}),
    "mask or not": (["mask/*2.png", "no_mask/*2.png"], {"train/mask": 2, "train/no_mask": 2}),
    "kaggle": (["train/a/*2.png", "train/b/*2.png", "test/*3.png"], {"train/a": 2, "train/b": 2, "test/None": 3}),
    "keras test": (["train/a/*2.png", "train/b/*2.png", "test/unknown/*3.png"],
                   {"train/a": 2, "train/b": 2, "test/None": 3}),
    "more beside splits": (["train/a/*2.png", "test/a/*1.png", "extra/*3.png", "stray.png"],
                           {"train/a": 2, "test/a": 1}),
    "photos": (["photos/*3.jpg"], {"train/None": 3}),
    "one class": (["owl/*3.jpg"], {"train/owl": 3}),
    "empty folders": (["owl/*1.jpg", "crow/*1.jpg", "train/notes.txt"], {"train/owl": 1, "train/crow": 1}),
    "nas": (["a/*2.jpg", "a/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/x.jpg", "__MACOSX/a/._0.jpg", "a/._0.jpg",
             "b/Thumbs.db", "b/*1.jpg", "b/.@__thumb/0.jpg"], {"train/a": 2, "train/b": 1}),
    "suffixes": (["a/*2.jpg", "b/0.CR2", "b/1.jpg "], {"train/a": 2, "train/b": 1}),
}


@pytest.mark.parametrize("tree", TREES)
def test_trees_are_read_as_people_mean_them(tmp_path: Path, tree: str) -> None:
    names, expected = TREES[tree]
    assert counts(plant(tmp_path, *names)) == expected


AMBIGUOUS = {
    "split beside a folder": (["train/a/*2.png", "extra/*2.png"], ["train/ beside extra/", "Either", "Or all"]),
    "test beside classes": (["a/*2.png", "b/*2.png", "test/*2.png"],
                            ["test/ beside a/, b/", "Or all of them are classes"]),
    "flat splits beside classes": (["train/*2.png", "test/*1.png", "a/*1.png"], ["test/, train/ beside a/"]),
    "two for one split": (["val/a/*1.png", "valid/a/*1.png", "train/a/*1.png"],
                          ["val/, valid/ all name the val split"]),
    "train twice": (["Train/a/*1.png", "training/a/*1.png"], ["Train/, training/ all name the train split"]),
    "several sets": (["birds/train/a/*1.png", "birds/test/a/*1.png", "dogs/train/b/*1.png"], ["birds/", "of its own"]),
    "split within classes": (["x/train/*1.png", "x/test/*1.png", "y/train/*1.png", "y/test/*1.png"],
                             ["lie in x/, y/", "split within"]),
    "masks of classes": (["a/*2.png", "b/*2.png", "masks/*2.png"], ["masks/", "are masks", "Or it is a class"]),
}


@pytest.mark.parametrize("tree", AMBIGUOUS)
@pytest.mark.parametrize("labels", ["searched", "ignored"])
def test_ambiguous_trees_are_refused_with_both_readings(tmp_path: Path, tree: str, labels: str) -> None:
    names, words = AMBIGUOUS[tree]
    with pytest.raises(DataError) as caught:
        read_listing(plant(tmp_path, *names), labels)
    assert all(word in str(caught.value) for word in (*words, str(tmp_path)))


UNCLEAR = {"loose": (["owl/*2.jpg", "3.jpg"], "1 loose image beside folders of images (owl/)"),
           "container": (["images/*2.jpg", "a/*1.jpg"], "a/, images/ are either classes, or images/ is the data set"),
           "loose in a split": (["train/a/*1.jpg", "train/b.jpg"], "1 loose image")}


@pytest.mark.parametrize("tree", UNCLEAR)
def test_unclear_labels_stop_only_those_who_need_them(tmp_path: Path, tree: str) -> None:
    names, words = UNCLEAR[tree]
    plant(tmp_path, *names)
    for labels in ("searched", "learned"):
        with pytest.raises(DataError) as caught:
            scan(tmp_path, "train", labels)
        assert words in str(caught.value)
    images = scan(tmp_path, "train", "ignored")
    assert images.classes == () and len(images) >= 2 and (images.labels == -1).all()
    assert has_split(tmp_path, "train")


SAME_NAMES = [("Crow", "crow"), ("Caf\u00e9", "Cafe\u0301"), ("owl", "owl "), ("7", "007"), ("Stra\u00dfe", "STRASSE")]


@pytest.mark.parametrize("pair", SAME_NAMES)
def test_classes_that_spelling_alone_tells_apart(tmp_path: Path, pair: tuple[str, str]) -> None:
    plant(tmp_path, *(f"train/{name}/*2.png" for name in (*pair, "kite")))
    said = describe_listing(read_listing(tmp_path))
    assert all(repr(name) in said or ascii(name) in said for name in pair)
    with pytest.raises(DataError, match="differ by spelling only"):
        scan(tmp_path, "train", "learned")
    assert len(scan(tmp_path, "train", "searched")) == 6


def test_the_line_says_what_was_found_and_left_out(tmp_path: Path) -> None:
    plant(tmp_path, "set/Train/a/*3.png", "set/Train/b/*2.png", "set/valid/b/*1.png", "set/test/c/*1.png",
          "set/Train/a/x.NEF", "set/Train/a/y.nef", "set/Train/a/.hidden.png", "set/notes.txt", "set/all.zip")
    listing = read_listing(tmp_path)
    assert listing.root == tmp_path / "set"
    assert describe_listing(listing) == (
        "7 images in 3 classes, train/val/test; entered set/, the only folder with images; valid/ is read as val; "
        "only in test: 1 class (c); left out: 2 .nef, 1 .txt, 1 .zip, 1 hidden; "
        ".nef: raw photographs: develop them to JPEG or TIFF; .zip: unpack it")
    assert name_left_out(listing) == ["  .nef: Train/a/x.NEF", "  .nef: Train/a/y.nef", "  .txt: notes.txt",
                                      "  .zip: all.zip", "  hidden: Train/a/.hidden.png"]


def test_the_line_is_said_once_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(tmp_path, "train/a/*2.png", "test/a/*1.png", "notes.txt")
    begin_run()
    for split in ("train", "test", "train"):
        scan(tmp_path, split)
    line = "3 images in 1 class, train/test; one class only (a); left out: 1 .txt"
    assert capsys.readouterr().err == f"{tmp_path}: {line}\n"
    begin_run()
    VOICE.in_full = True
    announce(read_listing(tmp_path))
    assert capsys.readouterr().err.endswith("1 .txt\n  .txt: notes.txt\n")


def test_links_never_give_a_picture_twice(tmp_path: Path) -> None:
    root = plant(tmp_path / "d", "a/*2.png", "b/*2.png")
    plant(tmp_path / "store", "x/*3.png")
    (root / "a" / "again").symlink_to("..")
    (root / "a" / "around").symlink_to(tmp_path)
    (root / "a" / "other").symlink_to(root / "b")
    (root / "b" / "self").symlink_to(".")
    (root / "b" / "ring").symlink_to("ring")
    (root / "c").symlink_to(tmp_path / "store")
    (root / "e").symlink_to(tmp_path / "store" / "x")
    listing = read_listing(root)
    assert dict(Counter(entry.class_name for entry in listing.entries)) == {"a": 2, "b": 2, "c": 3}
    said = describe_listing(listing)
    assert "3 by a link that leads back" in said and "2 by a link to a folder read already" in said


def test_a_split_may_be_a_link_to_another_one_with_a_word(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/*2.png", "test/a/*3.png")
    (tmp_path / "val").symlink_to("test")
    assert counts(tmp_path) == {"train/a": 2, "test/a": 3, "val/a": 3}
    assert "3 images are there twice, as one file under two names (val/a/0.png" in describe_listing(read_listing(tmp_path))


def test_hard_links_are_said(tmp_path: Path) -> None:
    plant(tmp_path, "a/*1.png", "b/*1.png")
    os.link(tmp_path / "a/0.png", tmp_path / "b/same.png")
    assert "1 image is there twice, as one file under two names (b/same.png)" in describe_listing(read_listing(tmp_path))


def test_folders_that_cannot_be_read_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "a/*1.png", "b/*1.png")
    real = os.scandir

    def locked(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(DataError, match="cannot be read; fix their permissions(.|\n)*/b: Permission denied"):
        read_folder(tmp_path)


def test_a_root_behind_a_locked_folder_is_not_called_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def locked(path: object, *rest: object, **more: object) -> os.stat_result:
        if path == tmp_path / "photos":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "stat", locked)
    for read in (read_listing, read_collection):
        with pytest.raises(DataError, match="photos: cannot be read .Permission denied"):
            read(tmp_path / "photos")


def test_devices_and_broken_links(tmp_path: Path) -> None:
    plant(tmp_path, "a/*1.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "a" / "gone.png").symlink_to("nowhere.png")
    listing = read_listing(tmp_path)
    assert [entry.key for entry in listing.entries] == ["a/0.png", "a/gone.png"]
    assert "1 that are no files" in describe_listing(listing)


WRONG_ROOTS = {
    "archive": ("photos.zip", "is an archive; unpack it"), "seven": ("photos.7z", "is an archive; unpack it"),
    "picture": ("a.png", "is a single picture; give the folder"), "film": ("a.mp4", "is neither a folder nor"),
    "gone": ("nowhere", "no such folder"),
}


@pytest.mark.parametrize("kind", WRONG_ROOTS)
def test_roots_that_are_no_data_set(tmp_path: Path, kind: str) -> None:
    name, words = WRONG_ROOTS[kind]
    plant(tmp_path, *([name] if kind != "gone" else []))
    with pytest.raises(DataError, match=words):
        read_listing(tmp_path / name)


def test_an_archive_is_known_by_its_contents_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "download", "w") as file:
        file.writestr("a.txt", "x")
    with pytest.raises(DataError, match="is an archive; unpack it"):
        read_listing(tmp_path / "download")


@pytest.mark.parametrize(("names", "words"), [
    (["set.zip"], "only 1 .zip; .zip: unpack it"), (["a/1.cr2", "a/2.cr2"], "only 2 .cr2; .cr2: raw photographs"),
    (["a/.x.png"], "only 1 hidden"), (["train/a.txt"], "only 1 .txt")])
def test_folders_without_pictures_say_what_they_hold(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(DataError, match="no image found") as caught:
        read_listing(plant(tmp_path, *names))
    assert words in str(caught.value)


def test_raw_trees_are_found_in_their_wrapper_and_not_among_others(tmp_path: Path) -> None:
    make_cub(tmp_path / "CUB_200_2011")
    (tmp_path / "attributes.txt").write_text("1 x\n")
    plant(tmp_path, "segmentations/001.Crow/*2.png", "flowers/*2.png")
    with pytest.raises(DataError, match="holds the data set CUB_200_2011/ beside flowers/"):
        read_listing(tmp_path)
    (tmp_path / "flowers").rename(tmp_path.parent / f"{tmp_path.name}-moved")
    listing = read_listing(tmp_path)
    assert listing.root == tmp_path / "CUB_200_2011" and listing.classes == ("001.Crow", "002.Owl")
    assert "entered CUB_200_2011/" in describe_listing(listing)
    assert "2 in segmentations/, 1 .txt" in describe_listing(listing)
    assert read_collection(tmp_path).classes == listing.classes
    make_cub(tmp_path / "copy")
    with pytest.raises(DataError, match="several data sets: CUB_200_2011/, copy/"):
        read_listing(tmp_path)


def test_metric_learning_reads_no_splits_as_classes(tmp_path: Path) -> None:
    plant(tmp_path, "images/train/a/*2.png", "images/train/b/*2.png", "images/test/a/*1.png")
    assert read_collection(tmp_path).classes == ("a", "b")
    plant(tmp_path / "flat", "images/train/*2.jpg", "images/val/*2.jpg")
    with pytest.raises(DataError, match="have no label"):
        read_collection(tmp_path / "flat")


def test_one_level_too_many_is_said(tmp_path: Path) -> None:
    plant(tmp_path, "birds/crow/*2.png", "birds/owl/*2.png", "dogs/pug/*2.png")
    assert counts(tmp_path) == {"train/birds": 4, "train/dogs": 2}
    assert "all images lie deeper, in crow/, owl/, pug/" in describe_listing(read_listing(tmp_path))


def test_empty_class_folders_are_said(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/*1.png", "train/b/notes.txt", "train/labels/0.txt", "test/a/*1.png")
    assert "; no images in b/; one class only (a); left out: 2 .txt" in describe_listing(read_listing(tmp_path))


def test_an_empty_word_is_no_data_set() -> None:
    with pytest.raises(DataError, match="is empty, perhaps a variable"):
        read_listing("")


def test_an_unlabelled_test_split_stops_no_metric_learning(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/*2.png", "train/b/*2.png", "test/*3.png")
    assert len(read_collection(tmp_path).samples) == 4
    assert "train/test without classes" in describe_listing(read_listing(tmp_path))


def test_the_first_split_that_serves(tmp_path: Path) -> None:
    plant(tmp_path, "val/a/*2.png")
    assert first_split(tmp_path, "test", "train") == "val"
    plant(tmp_path, "test/*2.png")
    assert first_split(tmp_path, "test", "val") == "test"
    assert first_split(tmp_path, "test", "val", labelled=True) == "val"


LISTS = {
    "split": ("path,split\na/0.png,trian\n", "split 'trian' is none of train, val, test"),
    "folder": ("path\na\n", "a is a folder; name each image"),
    "raw": ("path\nb.cr2\n", "no picture that can be read here .raw photographs"),
    "commas": ("path\na/0.png, more\n", "line 2 has more cells than the first line has columns; quote"),
    "columns": ("file,class\na/0.png,x\n", "there is no path, only file, class"),
    "again": ("path\na/0.png\n./a/0.png\n", "'./a/0.png' is on line 2 already"),
}


@pytest.mark.parametrize("fault", LISTS)
def test_lists_say_what_is_wrong(tmp_path: Path, fault: str) -> None:
    text, words = LISTS[fault]
    plant(tmp_path, "a/*1.png", "b.cr2")
    (tmp_path / "LIST.CSV").write_text(text)
    with pytest.raises(DataError, match=f"LIST.CSV(.|\n)*{words}"):
        read_listing(tmp_path / "LIST.CSV")


def test_labels_of_one_value_have_one_order_in_every_process(tmp_path: Path) -> None:
    plant(tmp_path, "a/*9.png")
    names = [label for number in range(1, 4) for label in (f"00{number}", f"0{number}", f"{number}")]
    rows = "".join(f"a/{place}.png,{label}\n" for place, label in enumerate(names))
    (tmp_path / "list.csv").write_text(f"path,label\n{rows}")
    assert list(read_listing(tmp_path / "list.csv").classes) == names


def test_lists_as_spreadsheets_save_them(tmp_path: Path) -> None:
    plant(tmp_path, "a/*4.png")
    cells = [("path", "label", "split", ""), ("./a/0.png", "7", "Training", ""), ("a/1.png", "007", "valid", ""),
             ("a\\2.png", "10", "TEST", ""), ("a/3.png", "2", "", "")]
    rows = "".join("\t".join(row) + "\r\n" for row in cells)
    (tmp_path / "list.csv").write_bytes(rows.encode("utf-16"))
    listing = read_listing(tmp_path / "list.csv")
    assert listing.classes == ("2", "007", "7", "10") and listing.splits == ("train", "val", "test")
    assert [entry.key for entry in listing.entries] == [f"a/{number}.png" for number in range(4)]
