"""The demo's photographs: four classes, a fixed draw, no picture in both splits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from datasets.images import scan
from runtime.errors import ConfigError
from tools.demo_data import draw_split, find_package, main, read_classes


def test_draw_is_fixed_and_splits_do_not_overlap() -> None:
    files = [Path(f"{number}.png") for number in range(20)]
    first, again = draw_split(files, 8, 5, seed=0), draw_split(files, 8, 5, seed=0)
    assert first == again != draw_split(files, 8, 5, seed=1)
    assert len(first["train"]) == 8 and len(first["test"]) == 5 and not set(first["train"]) & set(first["test"])
    assert len(draw_split(files, 0, 5, seed=0)["train"]) == 15


def test_package_has_the_four_classes() -> None:
    classes = read_classes(find_package())
    assert {name: len(files) for name, files in classes.items()} == {
        "mono-defective": 313, "mono-sound": 588, "poly-defective": 402, "poly-sound": 920}


def test_the_first_release_of_the_package_has_a_fourth_column(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("images/cell0001.png  1.0   mono  train\nimages/cell0002.png  0.0   poly\n")
    assert {name: len(files) for name, files in read_classes(tmp_path).items()} == {
        "mono-defective": 1, "poly-sound": 1}


def test_a_users_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.jpg").touch()
    monkeypatch.setattr(sys, "argv", ["demo_data", "--out", str(tmp_path)])
    with pytest.raises(ConfigError, match="not made by this command"):
        main()
    assert (tmp_path / "train" / "mine.jpg").exists()


@pytest.mark.parametrize("name", ["LICENSE.txt", "notes.txt"])
def test_a_licence_makes_no_folder_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nor does a note that a user laid into a folder of ours let the note go."""
    out = tmp_path / "elpv"
    monkeypatch.setattr(sys, "argv", ["demo_data", "--out", str(out), "--train", "1", "--test", "1"])
    if name != "LICENSE.txt":
        main()
    (out / "test").mkdir(parents=True, exist_ok=True)
    (out / "test" / "mine.jpg").touch()
    (out / name).write_text("mine")
    with pytest.raises(ConfigError, match="made by this command"):
        main()
    assert (out / "test" / "mine.jpg").exists() and (out / name).read_text() == "mine"


def test_command_makes_folders_and_leaves_the_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["demo_data", "--out", str(tmp_path / "elpv"), "--train", "3", "--test", "2"])
    main()
    assert len(scan(tmp_path / "elpv", "train")) == 12 and len(scan(tmp_path / "elpv", "test")) == 8
    assert "NonCommercial" in (tmp_path / "elpv" / "LICENSE.txt").read_text()
