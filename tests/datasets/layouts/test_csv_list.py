"""Lists that were damaged or saved in odd ways: read whole, or refused with the line."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from datasets.layouts.read import read_listing
from runtime.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("0.jpg", "1.jpg", "2.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def labels(folder: Path, text: str) -> dict[str, str | None]:
    """Classes by key, of a list with this text."""
    (folder / "list.csv").write_bytes(text.encode())
    return {entry.key: entry.class_name for entry in read_listing(folder / "list.csv").entries}


@pytest.mark.parametrize("text", ["\n\npath,label\n0.jpg,a\n1.jpg,b\n", "sep=;\r\npath;label\r\n0.jpg;a\r\n1.jpg;b\r\n",
                                  "SEP=,\npath,label\n0.jpg,a\n1.jpg,b", "path,label\r0.jpg,a\r1.jpg,b\r",
                                  'path,x,x,label\n0.jpg,,,a\n1.jpg,"6"" long",,b\n'])
def test_lists_as_programs_save_them(folder: Path, text: str) -> None:
    assert labels(folder, text) == {"0.jpg": "a", "1.jpg": "b"}


@pytest.mark.parametrize(("text", "words"), [
    ('path,label\n0.jpg,a\n1.jpg,"b\n2.jpg,c\n', "begins on line 3"),
    ('\npath,label\n0.jpg,a\n1.jpg,"b\n2.jpg,"c"\n', "begins on line 4"),
    ('path,label\n"0.jpg,a\n1.jpg,b\n', "begins on line 2"),
    ("path,label,label\n0.jpg,a,b\n", "several columns are named label"),
    ("path,label\n0.jpg,a\n1.jpg,b\n" + "\0" * 9, "line 4 holds zero bytes"),
])
def test_rows_are_not_swallowed(folder: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        labels(folder, text)


@pytest.mark.parametrize(("on_disk", "in_list"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_the_other_form_of_unicode(folder: Path, on_disk: str, in_list: str) -> None:
    name = unicodedata.normalize(on_disk, "öl.jpg")
    (folder / name).touch()
    assert labels(folder, f"path,label\n{unicodedata.normalize(in_list, name)},a\n") == {name: "a"}
