"""What a file's name says: which pictures are read here, and what to do about the others."""

from __future__ import annotations

import pytest
from PIL import features

from datasets import suffixes
from datasets.suffixes import find_remedy, is_archive, is_image, list_suffixes, name_kind


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.pgm", "a.apng", "a.jpg ", " a.PNG"])
def test_pictures_of_rarer_names(name: str) -> None:
    assert is_image(name)


@pytest.mark.parametrize("name", ["._a.jpg", "Thumbs.db", "SYNOPHOTO_THUMB_M.jpg", "a.cr2", "jpg", "a.jpg.part"])
def test_files_that_are_no_pictures(name: str) -> None:
    assert not is_image(name)


@pytest.mark.parametrize("installed", [True, False])
def test_what_is_read_follows_what_is_installed(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    monkeypatch.setattr(suffixes, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(features, "check_module", lambda name: installed)
    found = list_suffixes()
    assert (".heic" in found) == installed and ".jpg" in found
    assert (".avif" in found) == (installed and "avif" in features.modules)


def test_kinds_and_remedies() -> None:
    kinds = [name_kind(name) for name in (".x", "desktop.ini", "A.HEIC", "README")]
    assert kinds == ["hidden", "of the system", ".heic", "without suffix"]
    assert find_remedy(".heic") == "pip install pillow-heif" and find_remedy(".txt") is None
    assert "develop them" in find_remedy(".nef") and "PNG or JPEG" in find_remedy(".psd")
    assert is_archive("photos.TAR") and is_archive("a.7z") and not is_archive("a.csv")
