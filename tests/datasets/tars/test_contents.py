"""What is found in an archive, and every way in which one is broken."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from datasets.tars.contents import TarContents, list_contents
from datasets.tars.member import Tar
from runtime.errors import DataError
from tests.datasets.tars.packing import encode, pack


def read(path: Path) -> TarContents:
    return list_contents(Tar.look(path))


def told(path: Path) -> dict[str, str | None]:
    """Classes by picture."""
    return {picture.name: picture.label for picture in read(path).pictures}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_pictures_are_where_it_says(tmp_path: Path, form: int) -> None:
    long = "deep/" * 30 + "x" * 90 + ".jpg" if form != tarfile.USTAR_FORMAT else "deep/" * 20 + "x.jpg"
    path = pack(tmp_path / "a.tar", {"./a/1.PNG": 1, "2.webp": 2, long: 3, "/b/é.jpeg": 4}, format=form)
    found = read(path)
    assert [one.name for one in found.pictures] == ["a/1.PNG", "2.webp", long, "b/é.jpeg"]
    content = path.read_bytes()
    assert [content[one.offset : one.offset + one.length] for one in found.pictures] == list(map(encode, (1, 2, 3, 4)))


def test_classes_go_by_key_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {
        "d/1.cls": "7\n", "d/1.jpg": 1, "d/1.json": "{}", "d/1.txt": "a bird", "d/1.seg.png": 2, "2.large.jpg": 3, "2.cls": "crow",
        "3.png": 4, "4.cls": "5", "5.json": "{}", "._3.png": "x", "._3.cls": b"\xff", "__MACOSX/3.png": 3, "DSC.01.jpg": 5, "DSC.01.cls": "owl", "6.cls": ""})
    assert told(path) == {"d/1.jpg": "7", "2.large.jpg": "crow", "3.png": None, "DSC.01.jpg": "owl"}
    found = read(path)
    assert found.beside == {".json": 1, ".txt": 1}
    assert dict(found.others) == {"5.json": ".json", "._3.png": "hidden", "._3.cls": "hidden", "__MACOSX/3.png": "in hidden folders",
                                  "4.cls": ".cls without a picture", "d/1.seg.png": "further pictures of a key"}


def test_a_hard_link_is_the_picture_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(encode(1))
    (tmp_path / "x" / "b.png").hardlink_to(tmp_path / "x" / "a.png")
    (tmp_path / "x" / "c.png").symlink_to("a.png")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "x", "x", filter=lambda member: member)
    found = read(tmp_path / "a.tar")
    assert sorted(one.name for one in found.pictures) == ["x/a.png", "x/b.png"]
    assert len({(one.offset, one.length) for one in found.pictures}) == 1 and found.others == (("x/c.png", "links"),)


def refuse(path: Path, *words: str) -> None:
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in str(caught.value) and all(word in str(caught.value) for word in words), caught.value


def test_archives_that_were_cut_off(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar", {"1.png": 1, "2.png": 2, "3.png": 3}).read_bytes()
    third = [one.offset for one in read(tmp_path / "a.tar").pictures][2]
    path, seen = tmp_path / "cut.tar", set()
    for end in (third + 50, third - 512, third - 100, third - 512 - 200):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match="cut off") as caught:
            read(path)
        seen.add(str(caught.value).split(": ")[1][:25])
    assert len(seen) == 3  # within a picture, between two, within a header
    (tmp_path / "empty.tar").touch()
    refuse(tmp_path / "empty.tar", "cannot be read as a tar", "copy or pack it again")


def test_the_remedy_for_a_missing_end_mark_works(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar", {"1.png": 1}).read_bytes()
    one = read(tmp_path / "a.tar").pictures[0]
    path = tmp_path / "b.tar"
    path.write_bytes(whole[: one.offset + -(-one.length // 512) * 512])
    refuse(path, "without an end mark", f"head -c 1024 /dev/zero >> {path}")
    with path.open("ab") as file:
        file.write(bytes(1024))
    assert len(read(path).pictures) == 1


def test_damage_joined_and_compressed_archives(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar", {"1.png": 1, "2.png": 2}).read_bytes()
    (tmp_path / "joined.tar").write_bytes(whole + whole)
    refuse(tmp_path / "joined.tar", "goes on after its end mark", "tar -A")
    second = read(tmp_path / "a.tar").pictures[1].offset - 512
    (tmp_path / "bad.tar").write_bytes(whole[: second + 100] + b"\xff" * 300 + whole[second + 400 :])
    refuse(tmp_path / "bad.tar", f"no member begins at byte {second}")
    (tmp_path / "z.tar").write_bytes(gzip.compress(whole))
    refuse(tmp_path / "z.tar", "is compressed", "gunzip it")


def test_all_that_is_wrong_inside_is_said_at_once(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", [("1.png", encode(1)), ("1.png", encode(2)), ("../x.png", encode(1)), ("2.cls", b"a\nb"),
                                     ("3.cls", b"\xff\xfe\x00"), ("4.png", encode(1)), ("4.jpg", encode(1)), ("4.cls", b"1")])
    refuse(path, "1.png comes twice", "../x.png leads out", "2.cls holds no class", "3.cls holds no class",
           "4.png, 4.jpg share the class of 4.cls")
    refuse(pack(tmp_path / "b.tar", {"images/a.jpg": 1, "train_test_split.txt": "1 1"}), "lists of its own; unpack it")


def test_sparse_pictures_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.LNKTYPE, "gone.png"
        archive.addfile(link)
        sparse = tarfile.TarInfo("c.png")
        sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "c.png",
                              "GNU.sparse.realsize": "4096"}
        sparse.size = 512
        archive.addfile(sparse, io.BytesIO(b"0\n".ljust(512, b"\0")))
    refuse(tmp_path / "a.tar", "b.png is a link to gone.png", "c.png is sparse; pack it without --sparse")
