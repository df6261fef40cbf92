"""Crop files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.crops import Box
from datasets.files import decode
from datasets.layouts.listing import Sample
from datasets.suffixes import SUFFIXES
from DDT.crops import check_crops, encode_crop, mirror, save_crop
from runtime.errors import DataError


def test_mirrors_below_the_folder_only(tmp_path: Path) -> None:
    assert mirror(tmp_path, "train/a b/c.jpg") == tmp_path / "train" / "a b" / "c.jpg"
    for key in ("../a.jpg", "/a.jpg", "train/../../a.jpg", ""):
        with pytest.raises(DataError, match="--no-crops"):
            mirror(tmp_path, key)


def test_png_is_lossless_and_in_place(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    save_crop(Sample(tmp_path / "a.png", "train/x/a.png", None), Box(5, 10, 25, 22), tmp_path / "out")
    with Image.open(tmp_path / "out/train/x/a.png") as crop:
        assert crop.format == "PNG" and (np.asarray(crop) == pixels[10:22, 5:25]).all()
    assert [path.name for path in (tmp_path / "out/train/x").iterdir()] == ["a.png"]


def test_jpeg_quality(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    (tmp_path / "a.JPG").write_bytes(encode_crop(image, ".JPG"))
    image.save(tmp_path / "b.jpg", quality=95)
    with Image.open(tmp_path / "a.JPG") as ours, Image.open(tmp_path / "b.jpg") as expected:
        assert ours.format == "JPEG" and ours.quantization == expected.quantization


def test_banner_is_not_in_a_crop(tmp_path: Path) -> None:
    pixels = np.zeros((40, 30, 3), dtype=np.uint8)
    pixels[20:] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    save_crop(Sample(tmp_path / "a.png", "a.png", None), Box(0, 0, 30, 40), tmp_path / "out", crop_bottom=20)
    with Image.open(tmp_path / "out/a.png") as crop:
        assert crop.size == (30, 20) and np.asarray(crop).max() == 0


@pytest.mark.parametrize("suffix", [*sorted(SUFFIXES), ".png ", ".JPG "])
def test_a_crop_of_every_picture_that_can_be_read_can_be_written(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a{suffix}"
    source.write_bytes(encode_crop(Image.new("RGB", (8, 8), (200, 20, 20)), ".png"))
    save_crop(Sample(source, source.name, None), Box(0, 0, 4, 4), tmp_path / "out")
    assert decode(tmp_path / "out" / source.name).size == (4, 4)


def test_crops_that_cannot_be_written_are_named_before_anything_is_computed(tmp_path: Path) -> None:
    check_crops(tmp_path, ["a.jpg", "b/c.PNG "])
    with pytest.raises(DataError) as caught:
        check_crops(tmp_path, ["a.jpg", "b.dat", "c.dat", "noend", "../d.jpg"])
    assert "as '.dat'; convert" in str(caught.value) and "(b.dat, c.dat)" in str(caught.value)
    assert "as ''" in str(caught.value) and "this one leaves it; use --no-crops (../d.jpg)" in str(caught.value)


def test_unknown_suffix() -> None:
    with pytest.raises(DataError, match="convert the images"):
        encode_crop(Image.new("RGB", (4, 4)), ".xyz")
