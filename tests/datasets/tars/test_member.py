"""A member of an archive is a path: the same bytes and status from any process, and refused when the archive changed."""

from __future__ import annotations

import os
import pickle
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from datasets.files import load_photo
from datasets.tars.contents import list_contents
from datasets.tars.member import Tar, TarMember, need_files
from runtime.errors import DataError
from runtime.files import hash_file
from tests.datasets.tars.packing import encode, pack


@pytest.fixture
def members(tmp_path: Path) -> list[TarMember]:
    tar = Tar.look(pack(tmp_path / "a.tar", {"x/1.png": 1, "x/2.png": 2, "x/3.png": b"not a picture"}))
    return [TarMember(tar, one.name, one.offset, one.length) for one in list_contents(tar).pictures]


def test_it_reads_as_its_file_would(members: list[TarMember], tmp_path: Path) -> None:
    file = tmp_path / "1.png"
    file.write_bytes(encode(1))
    first = members[0]
    assert str(first) == f"{tmp_path}/a.tar/x/1.png" and (first.name, first.stem, first.suffix) == ("1.png", "1", ".png")
    assert first.read_bytes() == first.open("rb").read() == encode(1) and hash_file(first) == hash_file(file)
    assert load_photo(first).image.tobytes() == load_photo(file).image.tobytes()
    assert first.stat().st_size == len(encode(1)) and first.stat().st_mtime_ns == os.stat(tmp_path / "a.tar").st_mtime_ns
    assert first.is_file() and first.exists() and first == first.resolve() == first.absolute()


def test_what_is_made_of_it_is_a_plain_path(members: list[TarMember]) -> None:
    for path in (members[0].parent, members[0].with_suffix(".txt"), members[0] / "y", members[0].relative_to("/")):
        assert isinstance(path, Path) and not isinstance(path, TarMember)


def test_members_are_other_files_to_each_other_and_links_are_the_same(members: list[TarMember]) -> None:
    assert len({member.stat().st_ino for member in members}) == 3
    assert members[0].stat().st_ino == TarMember(members[0].tar, "y.png", members[0].offset, 5).stat().st_ino


def read_from(member: TarMember) -> bytes:
    return member.read_bytes()


def test_it_travels_to_processes_that_start_anew(members: list[TarMember]) -> None:
    assert pickle.loads(pickle.dumps(members[1])).read_bytes() == encode(2)
    with get_context("spawn").Pool(1) as pool:
        assert pool.map(read_from, members[:2]) == [encode(1), encode(2)]


def test_a_changed_archive_is_refused(members: list[TarMember], tmp_path: Path) -> None:
    assert members[0].read_bytes()  # and is open from here on
    pack(tmp_path / "a.tar", {"x/1.png": 3})
    os.utime(tmp_path / "a.tar", ns=(time.time_ns(), time.time_ns() + 10**9))
    with pytest.raises(OSError, match="changed since its members were listed"):
        members[0].read_bytes()
    with pytest.raises(DataError, match=r"a\.tar/x/1\.png: cannot be decoded"):
        load_photo(members[0])


def test_a_file_in_it_that_is_no_picture_is_named(members: list[TarMember]) -> None:
    with pytest.raises(DataError, match=r"a\.tar/x/3\.png: cannot be decoded as an image \(not an image of"):
        load_photo(members[2])


def test_it_is_not_written_or_linked_to(members: list[TarMember]) -> None:
    with pytest.raises(OSError, match="of which bytes are read and nothing else"):
        members[0].open("wb")
    with pytest.raises(DataError, match="3 pictures lie in archives such as .*a.tar, and linking takes files; unpack"):
        need_files([*members, Path("a")], "linking")
    need_files([Path("a")], "linking")
