"""What a folder remembers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from DDT.principal import Direction
from DDT.state import Fit, list_changes, load_fit, open_folder, save_fit, write_note
from runtime.errors import DataError


def test_fit_round_trip(tmp_path: Path) -> None:
    direction = Direction(torch.randn(7), torch.randn(7), -1.0, 0.25, 0.5, 123)
    assert load_fit(tmp_path / "fit.npz") is None
    save_fit(tmp_path / "fit.npz", Fit(direction, {"arch": "resnet50", "size": 448}))
    found = load_fit(tmp_path / "fit.npz")
    assert torch.equal(found.direction.mean, direction.mean) and torch.equal(found.direction.vector, direction.vector)
    assert (found.direction.sign, found.direction.count) == (-1.0, 123)
    assert found.settings == {"arch": "resnet50", "size": 448}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"words"])
def test_broken_fit(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fit.npz").write_bytes(content)
    with pytest.raises(DataError, match="not a fit of DDT"):
        load_fit(tmp_path / "fit.npz")


def test_changes() -> None:
    assert list_changes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b was 2, is 3", "c was None, is 4"]


def test_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "bird_crop"
    assert open_folder(folder, {"a": 1}, restart=False) == {}
    write_note(folder, {"root": "x", "settings": {"a": 1}})
    assert open_folder(folder, {"a": 1}, restart=False)["root"] == "x"
    with pytest.raises(DataError, match="a was 1, is 2"):
        open_folder(folder, {"a": 2}, restart=False)
    (folder / "boxes.csv").touch()
    assert open_folder(folder, {"a": 2}, restart=True) == {} and not (folder / "boxes.csv").exists()
    assert open_folder(folder, {"a": 3}, restart=False) == {}, "killed at once, it is begun anew all the same"


@pytest.mark.parametrize("restart", [False, True])
def test_crops_of_unknown_origin_stay(tmp_path: Path, restart: bool) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="holds train but no ddt.json"):
        open_folder(tmp_path, {}, restart=restart)
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_boxes_of_unknown_origin_stay(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("path,x1,y1,x2,y2\n")
    with pytest.raises(DataError, match="no ddt.json"):
        open_folder(tmp_path, {}, restart=False)
    (tmp_path / "ddt.json").write_text("{")
    with pytest.raises(DataError, match="not a note"):
        open_folder(tmp_path, {}, restart=False)
