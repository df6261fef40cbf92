"""Folds of the training split: five disjoint fifths, links to the same files, keys that crops know."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.studies.folds import main
from benchmarks.studies.links import link_fold
from benchmarks.studies.options import FOLDS
from datasets.images import scan
from runtime.errors import ConfigError, DataError


def held_out(root: Path) -> list[str]:
    return [sample.key.replace("test/", "train/", 1) for sample in scan(root, "test").samples]


def test_five_folds_share_out_every_class_and_leave_test_alone(photo_tree: Path, tmp_path: Path) -> None:
    everything = [sample.key for sample in scan(photo_tree, "train").samples]
    folds = [tmp_path / f"fold{fold}" for fold in range(FOLDS)]
    for fold, out in enumerate(folds):
        link_fold(photo_tree, fold, out)
        kept = [sample.key for sample in scan(out, "train").samples]
        assert sorted(kept + held_out(out)) == everything
        assert scan(out, "test").classes == scan(photo_tree, "train").classes
    assert sorted(key for out in folds for key in held_out(out)) == everything


def test_a_fold_is_every_fifth_of_a_class_in_order(photo_tree: Path, tmp_path: Path) -> None:
    link_fold(photo_tree, 1, tmp_path / "fold")
    numbers = [key.rsplit("_", 1)[1] for key in held_out(tmp_path / "fold")]
    assert numbers == ["01.jpg", "06.jpg"] * 3
    linked = scan(tmp_path / "fold", "test").samples[0].path
    assert linked.is_symlink() and linked.resolve() == (photo_tree / "train" / "001.Red_bird" / "001.Red_bird_01.jpg").resolve()


def test_unlabelled_folders_are_cut_in_order(photo_tree: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in photo_tree.glob("train/*/*.jpg"):
        shutil.copy(path, flat)
    link_fold(flat, 0, tmp_path / "fold")
    names = sorted(path.name for path in flat.iterdir())
    assert [sample.path.name for sample in scan(tmp_path / "fold", "test").samples] == names[::5]
    assert scan(tmp_path / "fold", "train").classes == ()


def test_only_its_own_folder_is_made_anew(photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "fold"
    link_fold(photo_tree, 0, out)
    monkeypatch.setattr(sys, "argv", ["folds", "--root", str(photo_tree), "--fold", "2", "--out", str(out)])
    main()
    assert {key.rsplit("_", 1)[1] for key in held_out(out)} == {"02.jpg", "07.jpg"}
    precious = tmp_path / "mine" / "notes.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(ConfigError, match="not made by this command"):
        link_fold(photo_tree, 0, precious.parent)
    with pytest.raises(ConfigError, match="beside it"):
        link_fold(photo_tree, 0, photo_tree / "fold")
    assert precious.read_text() == "mine" and len(scan(photo_tree, "train")) == 24


def test_a_fold_without_images_is_refused(photo_tree: Path, tmp_path: Path) -> None:
    for path in photo_tree.glob("train/*/*_0[3-9].jpg"):
        path.unlink()
    with pytest.raises(ConfigError, match="empty"):
        link_fold(photo_tree, 4, tmp_path / "fold")
    assert not (tmp_path / "fold").exists()


def write_list(folder: Path, labels: dict[str, str]) -> Path:
    lines = ["path,label"]
    for name, label in labels.items():
        for number in range(6):
            Image.new("RGB", (8, 8)).save(folder / f"{name}_{number}.png")
            lines.append(f"{name}_{number}.png,{label}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def test_labels_do_not_lead_out_of_the_folder_and_do_not_merge(tmp_path: Path) -> None:
    listing = write_list(tmp_path, {"a": "../../x", "b": "F/A-18", "c": "F/16", "d": "/absolute", "e": "train"})
    out = tmp_path / "deep" / "fold"
    before = set(tmp_path.rglob("*"))
    link_fold(listing, 0, out)
    made = set(tmp_path.rglob("*")) - before
    assert all(path == tmp_path / "deep" or path.is_relative_to(out) for path in made)
    assert len(scan(out, "train").classes) == 5 and len(scan(out, "train")) == 20


def test_labels_that_would_merge_are_refused(tmp_path: Path) -> None:
    listing = write_list(tmp_path, {"a": "F/A-18", "b": "F_A-18"})
    with pytest.raises(DataError, match="'F/A-18' and 'F_A-18'"):
        link_fold(listing, 0, tmp_path / "fold")
    assert not (tmp_path / "fold").exists()


def test_pictures_in_the_folder_itself_are_not_emptied(photo_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "fold"
    link_fold(photo_tree, 0, out)
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(out.glob("train/*/*"))]
    (tmp_path / "list.csv").write_text("path,label\n" + "".join(f"{name},{name.split('/')[2]}\n" for name in names))
    with pytest.raises(ConfigError, match="which it would be emptied of"):
        link_fold(tmp_path / "list.csv", 1, out)
    assert len(list(out.glob("train/*/*"))) == len(names)
