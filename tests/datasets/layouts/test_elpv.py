"""The demo's photographs: four classes, a fixed draw, no picture in both splits."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from datasets.images import scan
from datasets.layouts.elpv import COMMAND, FORMER, draw_split, find_package, read_classes
from runtime.errors import ConfigError
from runtime.folders.claims import MARK, sign
from tools.organize import main

DRAWN = "8b4ddecc946d045cf8ffb4c6b2a56d2cbc1c1dc286e2298af9fc75d2c92bf201"


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
    monkeypatch.setattr(sys, "argv", ["organize", "elpv", "--out", str(tmp_path)])
    with pytest.raises(ConfigError, match="not made by this command"):
        main()
    assert (tmp_path / "train" / "mine.jpg").exists()


@pytest.mark.parametrize("name", ["LICENSE.txt", "notes.txt"])
def test_a_licence_makes_no_folder_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nor does a note that a user laid into a folder of ours let the note go."""
    out = tmp_path / "elpv"
    monkeypatch.setattr(sys, "argv", ["organize", "elpv", "--out", str(out), "--train", "1", "--test", "1"])
    if name != "LICENSE.txt":
        main()
    (out / "test").mkdir(parents=True, exist_ok=True)
    (out / "test" / "mine.jpg").touch()
    (out / name).write_text("mine")
    with pytest.raises(ConfigError, match="made by this command"):
        main()
    assert (out / "test" / "mine.jpg").exists() and (out / name).read_text() == "mine"


def test_command_makes_folders_and_leaves_the_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["organize", "elpv", "--out", str(tmp_path / "elpv"), "--train", "3", "--test", "2"])
    main()
    assert len(scan(tmp_path / "elpv", "train")) == 12 and len(scan(tmp_path / "elpv", "test")) == 8
    assert "NonCommercial" in (tmp_path / "elpv" / "LICENSE.txt").read_text()


def test_the_draw_of_the_demo_stays_what_it_was(tmp_path: Path) -> None:
    """File by file: the results of docs/ are of these photographs."""
    out = tmp_path / "elpv"
    main(["elpv", "--out", str(out)])
    names = sorted(path.relative_to(out).as_posix() for path in out.glob("*/*/*.png"))
    assert len(names) == 600
    assert hashlib.sha256("\n".join(names).encode()).hexdigest() == DRAWN
    assert (out / MARK).read_text() == sign(COMMAND)


def test_a_folder_that_the_older_command_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / MARK).write_text(sign(FORMER))
    (tmp_path / "train").mkdir()
    main(["elpv", "--out", str(tmp_path), "--train", "2", "--test", "1"])
    assert len(scan(tmp_path, "train")) == 8


def test_flags_of_other_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--link.*another data set than elpv"):
        main(["elpv", "--out", str(tmp_path / "out"), "--link", "hard"])
    with pytest.raises(ConfigError, match="(?s)--train.*--source"):
        main(["cub", "--out", str(tmp_path / "out"), "--train", "2"])
