"""Only what a command made itself is ever emptied."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import ConfigError
from runtime.folders.claims import MARK, claim_folder


def test_a_folder_of_ours_is_emptied_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    claim_folder(out, "benchmarks.studies.folds", ("train", "test"))
    outside = tmp_path / "photo.jpg"
    outside.write_text("picture")
    (out / "train").mkdir()
    (out / "train" / "a.jpg").symlink_to(outside)
    (out / "test").symlink_to(tmp_path)
    claim_folder(out, "benchmarks.studies.folds", ("train", "test"))
    assert [path.name for path in out.iterdir()] == [MARK] and outside.read_text() == "picture"
    with pytest.raises(ConfigError, match="not made by this command"):
        claim_folder(out, "tools.compare", ("*",))


@pytest.mark.parametrize("name", ["LICENSE.txt", ".fold", ".comparison", MARK])
def test_a_file_of_any_name_makes_no_folder_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "train").mkdir()
    with pytest.raises(ConfigError, match="not made by this command"):
        claim_folder(tmp_path, "tools.organize elpv", ("train", "LICENSE.txt"))
    assert (tmp_path / "train").is_dir()


def test_what_a_user_laid_into_our_folder_is_not_removed(tmp_path: Path) -> None:
    claim_folder(tmp_path, "benchmarks.studies.folds", ("train", "test"))
    (tmp_path / "train").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt in it was not"):
        claim_folder(tmp_path, "benchmarks.studies.folds", ("train", "test"))
    assert (tmp_path / "train").is_dir() and (tmp_path / "notes.txt").read_text() == "mine"
