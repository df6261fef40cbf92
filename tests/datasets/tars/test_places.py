"""Patterns in braces mean what a shell makes of them, lists what they name; what is not there is said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from datasets.tars import places
from datasets.tars.places import expand_braces, find_tars, is_tar_pattern, place_exists
from runtime.errors import DataError
from tests.datasets.tars.packing import pack


@pytest.mark.parametrize("pattern", [
    "a{0..3}.tar", "a{08..11}b{x,y}.tar", "{train-{00..01},val-{0,1}}.tar", "{a}", "a{b", "a}b{1..2}", "{{1..2}}", "{3..1}",
    "{,x}y", "{001..10}", "{a,{b,c}d}e", "a{1..2,7}", "plain"])
def test_braces_as_bash_reads_them(pattern: str) -> None:
    said = subprocess.run(["bash", "-c", f"printf '%s\\n' {pattern}"], capture_output=True, text=True, check=True)
    assert expand_braces(pattern) == said.stdout.splitlines()


def test_a_pattern_of_far_too_many_names_is_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="more than 1,000,000 archives"):
        expand_braces("{0..999999999}.tar")
    monkeypatch.setattr(places, "MOST", 1000)
    for pattern in ("{0..1000}.tar", "{0..99}-{0..99}.tar"):
        with pytest.raises(DataError, match="more than 1,000 archives"):
            expand_braces(pattern)


def test_what_a_place_means(tmp_path: Path) -> None:
    for name in ("t-00.tar", "t-01.tar", "v-0.TAR"):
        pack(tmp_path / name, {"1.png": 1})
    (tmp_path / "list.txt").write_text("\ufeff# all of them\nt-{00..01}.tar\n\n  v-0.TAR \n", encoding="utf-8")
    (tmp_path / "words.txt").write_text("no archive\n")

    def find(name: str) -> list[str]:
        return [path.name for path in find_tars(tmp_path / name)]

    assert find("t-{00..01}.tar") == ["t-00.tar", "t-01.tar"] and find("v-0.TAR") == ["v-0.TAR"]
    assert find("list.txt") == ["t-00.tar", "t-01.tar", "v-0.TAR"]
    assert find("words.txt") == find("gone.tar") == find("") == []
    assert is_tar_pattern(tmp_path / "t-{00..01}.tar") and not is_tar_pattern(tmp_path / "{a}")
    assert place_exists(tmp_path / "t-{01..05}.tar") and not place_exists(tmp_path / "t-{07..09}.tar")


@pytest.mark.parametrize(("text", "words"), [
    ("a.tar\nb-{0..4}.tar\n", "5 of its 6 archives are not there; .*b-0.tar, .*b-1.tar, .*b-2.tar, ..."),
    ("a.tar\na.tar", "named twice"), ("a.tar\nphotos.zip", "1 lines name no .tar .photos.zip"),
    ("a.tar\na{.tar.gz,.tgz}", "no .tar"), (b"a.tar\n\xff.tar", "not text in UTF-8")])
def test_lists_that_are_wrong(tmp_path: Path, text: str | bytes, words: str) -> None:
    for name in ("a.tar", "a.tar.gz", "a.tgz", "photos.zip"):
        pack(tmp_path / name, {"1.png": 1})
    (tmp_path / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=words):
        find_tars(tmp_path / "list.txt")
