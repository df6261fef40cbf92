"""Contents are remembered by place, size and time in the cache folder: read once, anew after a change, never stale."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datasets.tars import index
from datasets.tars.contents import TarContents
from datasets.tars.index import find_note, read_contents
from datasets.tars.member import Tar
from runtime.errors import DataError
from tests.datasets.tars.packing import pack


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The archives whose headers are read, in order."""
    names: list[str] = []
    read = index.list_contents

    def note(tar: Tar, report: object) -> TarContents:
        names.append(tar.path.name)
        return read(tar, report)

    monkeypatch.setattr(index, "list_contents", note)
    monkeypatch.setattr(index, "READERS", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return names


def test_headers_are_read_once(tmp_path: Path, listed: list[str]) -> None:
    paths = [pack(tmp_path / "data" / f"{n}.tar", {"1.png": n, "1.cls": "xé", "2.json": "{}", "b\udce9.png": 3, "c.txt": ""})
             if n else pack(tmp_path / "data" / "0.tar", {"z.png": 0}) for n in range(2)]
    first = read_contents([Tar.look(path) for path in paths])
    assert listed == ["0.tar", "1.tar"] and read_contents([Tar.look(path) for path in paths]) == first
    assert listed == ["0.tar", "1.tar"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["0.tar", "1.tar"]  # nothing beside the data
    pack(paths[0], {"z.png": 0, "y.png": 1})
    assert [len(one.pictures) for one in read_contents([Tar.look(path) for path in paths])] == [2, 2]
    assert listed == ["0.tar", "1.tar", "0.tar"]
    os.utime(paths[1], ns=(0, 5))
    read_contents([Tar.look(paths[1])])
    assert listed[-1] == "1.tar" and len(listed) == 4


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"of": 3}', b"\xff\xfe", b"null"])
def test_a_damaged_note_is_made_anew(tmp_path: Path, listed: list[str], damage: bytes) -> None:
    tar = Tar.look(pack(tmp_path / "a.tar", {"1.png": 1}))
    first = read_contents([tar])
    whole = find_note(tar).read_bytes()
    find_note(tar).write_bytes(damage)
    assert read_contents([tar]) == first and len(listed) == 2 and find_note(tar).read_bytes() == whole


def test_a_place_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, listed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    tar = Tar.look(pack(tmp_path / "a.tar", {"1.png": 1}))
    assert read_contents([tar]) == read_contents([tar]) and len(listed) == 2


def test_all_broken_archives_are_named_and_none_is_remembered(tmp_path: Path, listed: list[str]) -> None:
    paths = [pack(tmp_path / f"{n}.tar", {"1.png": 1}) for n in range(14)]
    for path in paths[1:]:
        path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError) as caught:
        read_contents([Tar.look(path) for path in paths])
    assert str(caught.value).count("cut off") == 10 and "(+3 more archives)" in str(caught.value)
    assert find_note(Tar.look(paths[0])).is_file() and not find_note(Tar.look(paths[1])).exists()
