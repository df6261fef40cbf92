"""Labels as names: they stay in their folder, differ where labels differ, and are told where they cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import DataError
from runtime.names.safe import name_each, safe_name

WILD = ["../../x", "..", ".", "", "/etc/passwd", "a/b\\c", "nul", "COM1.txt", ".hidden", " outer ", "trailing.", "a\0b",
        "a\nb", "Ärger", "鳥", "\udcff\udcfe", "\ud800", "x" * 300, "鳥" * 200, "C:\\x", "~", "-rf", "con"]


@pytest.mark.parametrize("label", WILD)
def test_a_name_is_one_visible_part_of_a_path(tmp_path: Path, label: str) -> None:
    name = safe_name(label)
    assert name == safe_name(label) and 0 < len(os.fsencode(name)) <= 255
    place = tmp_path / name
    place.mkdir()
    assert place.parent == tmp_path and place.resolve().parent == tmp_path.resolve() and not name.startswith(".")
    assert ".." not in name
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_letters_of_all_scripts_stay_and_long_names_end_in_a_hash() -> None:
    assert [safe_name(label) for label in ("Ärger", "鳥", "F/A-18", "Boeing 737")] == [
        "Ärger", "鳥", "F_A-18", "Boeing 737"]
    one, other = safe_name("x" * 300 + "a"), safe_name("x" * 300 + "b")
    assert one != other and one[:200] == other[:200]
    assert len(os.fsencode(safe_name("鳥" * 200, room=4))) <= 251


def test_labels_that_would_share_a_name_are_refused_together() -> None:
    assert name_each(["F/A-18", "F/16", "F/A-18"]) == {"F/A-18": "F_A-18", "F/16": "F_16"}
    with pytest.raises(DataError, match=r"'F/A-18' and 'F_A-18'[\s\S]*'a/b' and 'a:b'"):
        name_each(["F/A-18", "F_A-18", "a/b", "a:b"])
