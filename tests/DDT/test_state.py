"""What a folder remembers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from DDT.directions.grouped import Group, GroupedDirections
from DDT.directions.principal import Direction
from DDT.state import Fit, list_changes, load_fit, open_folder, save_fit, write_note
from runtime.errors import DataError


def test_fit_round_trip(tmp_path: Path) -> None:
    drawn = [Direction(torch.randn(7), torch.randn(7), -1.0, 0.25 / n, 0.5 / n, 123 * n) for n in (1, 2, 3)]
    groups = (Group(drawn[1], 20), Group(drawn[2], 10))
    directions = GroupedDirections(drawn[0], groups, torch.randn(5, 7), (0, 1, 1, 0, 0))
    assert load_fit(tmp_path / "fit.npz") is None
    save_fit(tmp_path / "fit.npz", Fit(directions, {"arch": "resnet50", "size": 448}))
    found = load_fit(tmp_path / "fit.npz")
    assert found.settings == {"arch": "resnet50", "size": 448}
    assert torch.equal(found.directions.centres, directions.centres) and found.directions.owners == directions.owners
    assert [group.images for group in found.directions.groups] == [20, 10]
    back = [found.directions.whole, *(group.direction for group in found.directions.groups)]
    for old, new in zip(drawn, back, strict=True):
        assert torch.equal(new.mean, old.mean) and torch.equal(new.vector, old.vector)
        assert (new.sign, new.share, new.correlation, new.count) == (old.sign, old.share, old.correlation, old.count)


def test_a_fit_of_the_earlier_release_is_one_direction(tmp_path: Path) -> None:
    mean, vector = np.arange(7, dtype=np.float32), np.ones(7, dtype=np.float32)
    numbers = {"sign": -1.0, "share": 0.25, "correlation": 0.5, "count": 123}
    np.savez(tmp_path / "fit.npz", settings='{"arch": "resnet50"}', mean=mean, vector=vector, **numbers)
    found = load_fit(tmp_path / "fit.npz")
    assert found.settings == {"directions": 1, "arch": "resnet50"} and len(found.directions.groups) == 1
    assert (found.directions.whole.mean.numpy() == mean).all() and found.directions.groups[0].direction.count == 123


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


def test_folders_of_the_earlier_release(tmp_path: Path) -> None:
    """Those of the seed recipe, whose rules are the same, are continued; the others are refused with a way out."""
    write_note(tmp_path, {"root": "x", "settings": {"a": 1}})
    rules = {"directions": 1, "no_mask": "empty"}
    assert open_folder(tmp_path, {"a": 1, **rules}, restart=False)["root"] == "x"
    changed = "directions was 1, is auto(.|\n)*an earlier release began it: give another --out .*, or --restart"
    with pytest.raises(DataError, match=changed):
        open_folder(tmp_path, {"a": 1, **rules, "directions": "auto"}, restart=False)
