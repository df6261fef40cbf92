"""Hashes of what pictures are made of: exact, remembered only where a change would show, and shared."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from datasets.crops import Box, Crops
from datasets.images import ImageSet, scan
from evaluation.features import contents
from evaluation.features.contents import ContentMemo, hash_contents, hash_images
from runtime.errors import DataError, StopTraining


@pytest.fixture
def images(photo_tree: Path) -> ImageSet:
    return scan(photo_tree, "test")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, of which all count as settled."""
    seen: list[Path] = []
    real = contents.hash_file
    monkeypatch.setattr(contents, "hash_file", lambda path: seen.append(path) or real(path))
    monkeypatch.setattr(contents, "SETTLED", -(10**12))
    return seen


def test_it_is_the_hash_of_the_bytes_and_of_the_box(images: ImageSet, tmp_path: Path) -> None:
    plain = [hashlib.sha256(sample.path.read_bytes()).hexdigest() for sample in images.samples]
    assert hash_images(images, None) == plain
    boxes = {sample.key: Box(1.0, 2.0, 30.0, 40.0) for sample in images.samples}
    boxed = hash_images(images, Crops(tmp_path, boxes))
    assert len(set(boxed) | set(plain)) == 24
    moved = boxes | {images.samples[2].key: Box(1.0, 2.0, 30.0, 41.0)}
    other = hash_images(images, Crops(tmp_path, moved))
    assert [n for n in range(12) if other[n] != boxed[n]] == [2]
    shutil.copytree(images.root, tmp_path / "crops")
    assert hash_images(images, Crops(tmp_path / "crops", None)) == plain


def test_files_are_read_once_until_they_change(images: ImageSet, tmp_path: Path, read: list[Path]) -> None:
    first = hash_images(images, None, tmp_path / "memo")
    assert len(read) == 12 and hash_images(images, None, tmp_path / "memo") == first and len(read) == 12
    one, two = images.samples[:2]
    os.utime(one.path, ns=(1, 1))
    size = two.path.stat().st_size
    two.path.write_bytes(bytes(size))
    read.clear()
    again = hash_images(images, None, tmp_path / "memo")
    assert sorted(read) == sorted([one.path, two.path])
    assert again[0] == first[0] and again[1] == hashlib.sha256(bytes(size)).hexdigest() and again[2:] == first[2:]
    assert hash_contents(images, None, tmp_path / "memo") == hash_contents(images, None)


def test_a_file_that_changed_just_now_is_not_remembered(
    images: ImageSet, tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SETTLED", 10**12)
    for times in (1, 2):
        hash_images(images, None, tmp_path)
        assert len(read) == 12 * times
    assert not (tmp_path / contents.MEMO).exists()


def test_a_memo_that_was_cut_off_or_has_grown_serves_still(
    images: ImageSet, tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, path = hash_images(images, None, tmp_path), tmp_path / contents.MEMO
    path.write_text(path.read_text()[:-20] + '\n"text"\n[1, 2]\n')
    read.clear()
    assert hash_images(images, None, tmp_path) == first and len(read) == 1
    monkeypatch.setattr(contents, "SLACK", 0)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines * 3))
    assert hash_images(images, None, tmp_path) == first and len(read) == 1
    assert len(path.read_text().splitlines()) == 12


def test_a_disk_that_refuses_costs_the_memo_only(
    images: ImageSet, tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **more: object) -> None:
        raise StopTraining("no room")

    monkeypatch.setattr(contents, "append_line", refuse)
    monkeypatch.setattr(contents, "CHUNK", 5)
    memo = ContentMemo(tmp_path)
    assert hash_images(images, None, memo) == hash_images(images, None)
    assert capsys.readouterr().err.count("not kept for next time: no room") == 1


def test_files_that_cannot_be_read_are_named_together(images: ImageSet, tmp_path: Path) -> None:
    for sample in images.samples[:2]:
        sample.path.unlink()
    with pytest.raises(DataError, match="(?s)cannot be read.*Red_bird_00.jpg.*Red_bird_01.jpg.*put them back"):
        hash_images(images, None, tmp_path)


def test_a_file_that_was_replaced_under_its_old_date_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same size and with the old time of its content: only the time of the last change of any kind tells."""
    monkeypatch.setattr(contents, "SETTLED", -(10**12))
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    memo = contents.ContentMemo(tmp_path)
    first, status = memo.hash_files([path]), os.stat(path)
    time.sleep(0.02)
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert os.stat(path).st_mtime_ns == status.st_mtime_ns and memo.hash_files([path]) != first
