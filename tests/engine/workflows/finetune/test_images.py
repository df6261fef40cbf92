"""The photographs of a run: parts, joint sets, test folders of another root, and what is refused."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

from datasets.joint import describe_sources
from engine.flags.finetune.arguments import parse
from engine.flags.finetune.views import evaluation_view, training_view
from engine.workflows.finetune.images import load_photographs, name_sources, scan_any
from runtime.errors import ConfigError, DataError


def flags(*words: str) -> argparse.Namespace:
    return parse(["--finetune", "none", "--device", "cpu", "--skip-bad", "false", *words])


def test_train_and_test_of_a_tree(photo_tree: Path) -> None:
    found = load_photographs(flags("--root", str(photo_tree)))
    assert (len(found.train), len(found.test), found.val) == (24, 12, None)
    assert [source.name for source in found.sources] == ["photos"] and found.train.classes[0] == "001.Red_bird"
    assert load_photographs(flags("--root", str(photo_tree), "--disable-eval", "--val-share", "0.25")).test is None


def test_validation_images_come_from_every_class_and_leave_training(photo_tree: Path) -> None:
    found = load_photographs(flags("--root", str(photo_tree), "--val-share", "0.25"))
    assert (len(found.train), len(found.val)) == (18, 6) and found.val.split == "val"
    assert found.val.labels.bincount().tolist() == [2, 2, 2]
    assert not {s.key for s in found.val.samples} & {s.key for s in found.train.samples}
    again = load_photographs(flags("--root", str(photo_tree), "--val-share", "0.25", "--seed", "5"))
    assert {s.key for s in again.val.samples} != {s.key for s in found.val.samples}
    for extra in [path for folder in (photo_tree / "train").iterdir() for path in sorted(folder.iterdir())[1:]]:
        extra.unlink()
    with pytest.raises(DataError, match="single image is nothing"):
        load_photographs(flags("--root", str(photo_tree), "--val-share", "0.25"))


def test_a_set_with_a_val_split_is_watched_on_it(photo_tree: Path) -> None:
    (photo_tree / "test").rename(photo_tree / "val")
    found = load_photographs(flags("--root", str(photo_tree)))
    assert (len(found.val), found.test) == (12, None)


def test_joint_sets_keep_their_classes_apart(photo_tree: Path, tmp_path: Path) -> None:
    shutil.copytree(photo_tree, tmp_path / "dogs here")
    found = load_photographs(flags("--data-set", "CUB_DOG", "--data-path", str(photo_tree), str(tmp_path / "dogs here")))
    assert describe_sources(found.sources) == ({"name": "CUB", "first": 0, "classes": 3},
                                               {"name": "DOG", "first": 3, "classes": 3})
    assert (len(found.train), len(found.test), len(found.train.classes)) == (48, 24, 6)
    assert found.train.labels.bincount().tolist() == [8] * 6 and found.test.classes == found.train.classes
    shutil.rmtree(tmp_path / "dogs here" / "test")
    with pytest.raises(DataError, match="dogs here: no test split, but the other sets have one"):
        load_photographs(flags("--root", str(photo_tree), "--data-path", str(photo_tree), str(tmp_path / "dogs here")))


def test_test_folders_of_another_root_meet_classes_by_name(photo_tree: Path, tmp_path: Path) -> None:
    (photo_tree / "test").rename(tmp_path / "evaluation")
    shutil.rmtree(tmp_path / "evaluation" / "001.Red_bird")
    found = load_photographs(flags("--train-root", str(photo_tree / "train"), "--val-root", str(tmp_path / "evaluation")))
    assert (len(found.train), len(found.test)) == (24, 8) and set(found.test.labels.tolist()) == {1, 2}
    assert found.test.split == "test"
    (tmp_path / "evaluation" / "003.Blue_bird").rename(tmp_path / "evaluation" / "Penguin")
    with pytest.raises(DataError, match="unknown to the training images .*Penguin"):
        load_photographs(flags("--train-root", str(photo_tree / "train"), "--val-root", str(tmp_path / "evaluation")))


def test_class_counts_are_checked(photo_tree: Path) -> None:
    assert load_photographs(flags("--root", str(photo_tree), "--nb_classes", "3")).sources[0].classes == 3
    with pytest.raises(ConfigError, match="--nb-classes 200, but .* has 3 classes"):
        load_photographs(flags("--root", str(photo_tree), "--num-classes", "200"))
    (photo_tree / "flat").mkdir()
    shutil.copy(next((photo_tree / "train").rglob("*.jpg")), photo_tree / "flat" / "one.jpg")
    with pytest.raises(DataError, match="labels"):
        load_photographs(flags("--root", str(photo_tree / "flat")))


def test_names_and_what_is_evaluated(photo_tree: Path) -> None:
    assert name_sources(["a/b", "c"], []) == ["b", "c"] and name_sources(["a/b", "c"], ["CUB", "FOLDER"]) == ["CUB", "c"]
    assert len(scan_any([str(photo_tree)]).images) == 12 and len(scan_any([str(photo_tree / "train")]).images) == 24


def test_views_follow_the_flags() -> None:
    view = training_view(flags("--root", "x", "--aa", "none", "--reprob", "0", "--scale", "0.5", "1", "--size", "64"))
    assert (view.recipe, view.size, view.augment.auto_augment, view.augment.scale) == ("timm", 64, None, (0.5, 1.0))
    assert training_view(flags("--root", "x", "--method", "pim")).recipe == "pim"
    assert evaluation_view(flags("--root", "x", "--eval-view", "warp")).recipe == "warp"
    assert evaluation_view(flags("--root", "x", "--method", "pim")).recipe == "pim-eval"
    with pytest.raises(ConfigError, match="cannot build"):
        training_view(flags("--root", "x", "--aa", "nonsense"))


def test_images_without_labels_to_test_on_stop_no_training(
    photo_tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("test", "valid"):
        folder = photo_tree / split
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(next(photo_tree.glob("train/*/*.jpg")), folder / "1.jpg")
    found = load_photographs(flags("--root", str(photo_tree)))
    assert (len(found.train), found.test, found.val) == (24, None, None)
    said = capsys.readouterr().err
    assert "the 1 test images" in said and "the 1 val images" in said and "have no labels" in said


def test_one_class_or_two_spellings_of_one_are_refused(photo_tree: Path) -> None:
    shutil.copytree(photo_tree / "train/001.Red_bird", photo_tree / "train/001.red_bird")
    with pytest.raises(DataError, match="'001.Red_bird'/'001.red_bird'"):
        load_photographs(flags("--root", str(photo_tree)))
    with pytest.raises(DataError, match="1 class .'001.Red_bird'., and telling classes apart needs two"):
        load_photographs(flags("--root", str(keep_one(photo_tree))))


def keep_one(tree: Path) -> Path:
    """The tree with the first class only."""
    for folder in [path for path in tree.glob("*/*") if path.name != "001.Red_bird"]:
        shutil.rmtree(folder)
    return tree
