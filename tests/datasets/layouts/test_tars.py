"""Archives give the listing that their unpacked folders give, whatever lies in which; or they say what is unclear."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path

import pytest

from datasets.images import scan
from datasets.layouts.findings import describe_listing
from datasets.layouts.listing import Listing
from datasets.layouts.read import read_listing
from datasets.tars.member import TarMember
from runtime.errors import DataError
from tests.datasets.tars.packing import encode, pack, pack_tree


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


def plant(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encode(number))
    return root


def facts(listing: Listing) -> list[tuple[str, str | None, str, bytes]]:
    return [(one.key, one.class_name, one.split, one.path.read_bytes()) for one in listing.entries]


TREES = {
    "splits and classes": ["train/b/1.png", "train/a/1.png", "train/a/deep/2.png", "test/a/3.png"],
    "classes": ["crow/1.png", "owl/1.png", "owl/2.PNG", "crow/.hidden.png"],
    "flat": ["1.png", "2.png", "x.png"],
    "wrapper": ["archive/archive/train/a/1.png", "archive/archive/train/b/1.png", "archive/archive/test/a/1.png"],
    "masks": ["images/1.png", "images/2.png", "masks/1.png", "masks/2.png"],
    "masks beside": ["a/1.png", "a/1_mask.png", "b/2.png", "b/2_mask.png"],
    "one in two splits": ["birds_train/a/1.png", "birds_train/b/2.png", "birds_test/a/1.png"],
    "loose": ["cover.png", "a/1.png", "b/1.png"],
}


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("archives", [1, 3])
def test_packed_folders_are_the_folders(tmp_path: Path, kind: str, archives: int) -> None:
    tree = plant(tmp_path / "tree", *TREES[kind])
    pack_tree(tree, tmp_path / "tars", archives)
    plain, packed = read_listing(tree), read_listing(tmp_path / "tars")
    assert facts(plain) == facts(packed) and plain.classes == packed.classes
    assert all(isinstance(one.path, TarMember) for one in packed.entries)
    assert sorted(one.kind for one in plain.left_out) == sorted(one.kind for one in packed.left_out)
    assert describe_listing(packed).replace(f"; in {archives} archive" + "s" * (archives > 1), "") == describe_listing(plain)


def test_a_tree_packed_by_tar_itself(tmp_path: Path) -> None:
    tree = plant(tmp_path / "tree", *TREES["splits and classes"])
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(tree, ".")
    assert facts(read_listing(tmp_path / "photos.tar")) == facts(read_listing(tree))


def deal(folder: Path, split: str, count: int, archives: int, classes: int = 3, first: int = 0) -> list[Path]:
    """Shards as webdataset writes them: key.png, key.cls, key.json."""
    made = []
    for number in range(archives):
        members: dict[str, bytes | str | int] = {}
        for key in range(first, count)[number::archives]:
            members |= {f"{key:05d}.png": key, f"{key:05d}.cls": str(key % classes), f"{key:05d}.json": "{}"}
        made.append(pack(folder / f"{split}-{number:06d}.tar", members))
    return made


def test_shards_with_classes_and_splits_by_name(tmp_path: Path) -> None:
    deal(tmp_path, "train", 24, 2, classes=12)
    deal(tmp_path, "val", 6, 1)
    listing = read_listing(tmp_path)
    assert listing.splits == ("train", "val") and listing.classes == tuple(map(str, range(12)))
    assert [(one.key, one.class_name) for one in listing.entries][:2] == [("train/00000.png", "0"), ("train/00001.png", "1")]
    assert scan(tmp_path).labels.tolist() == [n % 12 for n in range(24)]
    assert describe_listing(listing) == "30 images in 12 classes, train/val; in 3 archives; 30 .json of images are not used"
    for place in ("train-{000000..000001}.tar", "{train,val}-000000.tar"):
        assert len(read_listing(tmp_path / place).entries) == (24 if ".." in place else 18)
    (tmp_path / "list.txt").write_text("val-000000.tar\n")
    assert read_listing(tmp_path / "list.txt").splits == ("val",)


def test_shards_in_folders_of_splits_with_a_list_of_names(tmp_path: Path) -> None:
    deal(tmp_path / "train", "shard", 9, 2)
    deal(tmp_path / "test", "shard", 3, 1)
    (tmp_path / "classnames.txt").write_text("owl\ncrane\ncrane\ngull\n")
    listing = read_listing(tmp_path)
    assert listing.classes == ("owl", "crane [1]", "crane [2]", "gull") and listing.splits == ("train", "test")
    assert scan(tmp_path).labels.tolist() == [n % 3 for n in range(9)] and scan(tmp_path, "test").classes == listing.classes
    assert read_listing(tmp_path / "train" / "shard-{000000..000001}.tar").classes == listing.classes  # from the folder above
    (tmp_path / "classnames.txt").write_text("owl\ncrane\n")
    with pytest.raises(DataError, match="classnames.txt: names 2 classes, and the .cls of pictures say 2 too; complete"):
        read_listing(tmp_path)
    (tmp_path / "classnames.txt").write_text("owl\n\ngull\n")
    with pytest.raises(DataError, match="line 2 is empty"):
        read_listing(tmp_path)


def test_classes_by_name_with_and_without_the_list(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", {"1.png": 1, "1.cls": "owl", "2.png": 2, "2.cls": "crow", "3.png": 3})
    assert [(one.key, one.class_name) for one in read_listing(tmp_path).entries] == [("1.png", "owl"), ("2.png", "crow"), ("3.png", None)]
    assert read_listing(tmp_path).classes == ("crow", "owl") and "(1 without a class)" in describe_listing(read_listing(tmp_path))
    (tmp_path / "classes.txt").write_text("owl\ngull\ncrow\n")
    assert read_listing(tmp_path).classes == ("owl", "gull", "crow")


def test_names_in_the_archives_tell_splits_of_labelled_pictures(tmp_path: Path) -> None:
    pack(tmp_path / "all.tar", {"train/1.png": 1, "train/1.cls": "3", "test/1.png": 2, "test/1.cls": "3"})
    assert [(one.key, one.split) for one in read_listing(tmp_path).entries] == [("test/1.png", "test"), ("train/1.png", "train")]


def test_archives_that_count_from_the_start_each(tmp_path: Path) -> None:
    for number in range(3):
        pack(tmp_path / f"{number:03d}.tar", {"owl/0.png": number, "crow/0.png": 5 + number})
    listing = read_listing(tmp_path)
    assert [one.key for one in listing.entries] == [f"{name}/{n:03d}-0.png" for name in ("crow", "owl") for n in range(3)]
    assert [one.path.read_bytes() for one in listing.entries] == [encode(n) for n in (5, 6, 7, 0, 1, 2)]


def test_the_order_does_not_depend_on_which_archive_holds_what(tmp_path: Path) -> None:
    names = [f"{name}/{number}.png" for name in "abc" for number in range(9)]
    seen = []
    for turn in range(2):
        random.Random(turn).shuffle(names)
        for number in range(4):
            pack(tmp_path / str(turn) / f"{number}.tar", {name: ord(name[0]) + int(name[2]) for name in names[number::4]})
        seen.append(facts(read_listing(tmp_path / str(turn))))
    assert seen[0] == seen[1] and len(seen[0]) == 27


def test_links_are_said(tmp_path: Path) -> None:
    plant(tmp_path / "x", "a/1.png", "b/2.png")
    (tmp_path / "x" / "b" / "1.png").hardlink_to(tmp_path / "x" / "a" / "1.png")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "x", ".")
    assert "1 image is there twice, as one file under two names" in describe_listing(read_listing(tmp_path / "x.tar"))


@pytest.mark.parametrize(("names", "words"), [
    (["train-0.tar", "extra-0.tar"], "1 archive of a split .train-0.tar. beside 1 archive of none .extra-0.tar."),
    (["train/val-0.tar"], "val-0.tar: names and folders say several splits")])
def test_splits_that_are_unclear(tmp_path: Path, names: list[str], words: str) -> None:
    for name in names:
        pack(tmp_path / name, {f"{name[0]}.png": 1})
    with pytest.raises(DataError, match=words):
        read_listing(tmp_path)


def test_what_is_refused_or_stays_as_it_was(tmp_path: Path) -> None:
    pack(tmp_path / "only" / "a.tar", {"1.json": "{}", "2.txt": "x"})
    with pytest.raises(DataError, match=r"no picture in 1 archive \(only .json, .txt\)"):
        read_listing(tmp_path / "only")
    plant(tmp_path / "both", "a/1.png", "b/2.png")
    pack(tmp_path / "both" / "old.tar", {"c/1.png": 1})
    assert "left out: 1 .tar; .tar: unpack it" in describe_listing(read_listing(tmp_path / "both"))
    pack(tmp_path / "packed" / "a.tar.gz", {"1.png": 1})
    with pytest.raises(DataError, match="no image found .only 1 .gz; .gz: unpack it"):
        read_listing(tmp_path / "packed")
    with pytest.raises(DataError, match="a.tar.gz: is an archive; unpack it.*an uncompressed .tar is read as it is"):
        read_listing(tmp_path / "packed" / "a.tar.gz")
    with pytest.raises(DataError, match="2 of its 2 archives are not there"):
        read_listing(tmp_path / "gone-{0..1}.tar")


def test_archives_whose_names_do_not_part_their_pictures_are_refused(tmp_path: Path) -> None:
    for place in ("a", "a-b"):
        (tmp_path / place).mkdir()
    pack(tmp_path / "a/b-0.tar", {"x.png": 1})
    pack(tmp_path / "a-b/0.tar", {"x.png": 2})
    with pytest.raises(DataError, match="1 pictures have the names of others"):
        read_listing(tmp_path)


def test_what_lies_beside_archives_is_told(tmp_path: Path) -> None:
    pack(tmp_path / "train-0.tar", {"owl/1.png": 1})
    (tmp_path / "train-1.tar.gz").write_bytes(b"x")
    assert [one.path.name for one in read_listing(tmp_path).left_out] == ["train-1.tar.gz"]


def test_class_names_are_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "classnames.txt").write_text("owl\ncrow\n")
    pack(tmp_path / "train/s-0.tar", {"1.png": 1, "1.cls": "0", "2.png": 2, "2.cls": "1"})
    monkeypatch.chdir(tmp_path / "train")
    assert all(sorted(read_listing(Path(root)).classes) == ["crow", "owl"] for root in (".", "s-0.tar", tmp_path / "train"))
