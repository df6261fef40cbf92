"""Decoding: every kind of file becomes the right RGB picture, or an error that names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.files import decode, decode_content, load_photo
from datasets.suffixes import is_image
from datasets.walk import walk_images
from runtime.errors import DataError


def save(path: Path, image: Image.Image, **options: object) -> Path:
    """Save and return the path."""
    image.save(path, **options)
    return path


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """A smooth RGB picture, uint8 [height, width, 3], whose left top is dark."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], -1).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.Png", "a.bmp", "a.webp", "a.TIF", "a.tiff", "a.gif", "a.ppm"])
def test_image_suffixes_in_any_case(name: str) -> None:
    assert is_image(name)


@pytest.mark.parametrize("name", [".a.jpg", "._a.jpg", "a.txt", "jpg", "Thumbs.db", "a.jpg.part"])
def test_other_files_are_no_images(name: str) -> None:
    assert not is_image(name)


def test_walk_is_sorted_and_skips_hidden_folders(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "a/1.jpg", ".hidden/3.jpg", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in walk_images(tmp_path)]
    assert found == ["a/1.jpg", "b/10.png", "b/2.png"]


def test_rgb_is_exact(tmp_path: Path) -> None:
    pixels = gradient()
    assert np.array_equal(np.asarray(decode(save(tmp_path / "a.png", Image.fromarray(pixels)))), pixels)


def test_grey_is_repeated(tmp_path: Path) -> None:
    grey = gradient()[..., 0]
    decoded = np.asarray(decode(save(tmp_path / "a.png", Image.fromarray(grey))))
    assert np.array_equal(decoded, np.repeat(grey[..., None], 3, -1))


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    grey = gradient()[..., 0]
    wide = grey.astype(np.uint16) * 257
    decoded = np.asarray(decode(save(tmp_path / "a.png", Image.fromarray(wide))))
    assert np.array_equal(decoded[..., 1], grey)


def test_float_grey_of_unit_range_is_scaled(tmp_path: Path) -> None:
    grey = gradient()[..., 0]
    decoded = np.asarray(decode(save(tmp_path / "a.tiff", Image.fromarray((grey / 255).astype(np.float32)))))
    assert np.array_equal(decoded[..., 2], grey)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (4, 0, 8, 8))
    decoded = np.asarray(decode(save(tmp_path / "a.png", picture.convert(mode))))
    assert (decoded[:, :4] == 0).all() and (decoded[:, 4:] == 255).all()


def test_palette_with_transparent_entry(tmp_path: Path) -> None:
    picture = Image.fromarray(np.repeat([[0, 1]], 4, 0).astype(np.uint8), "L").convert("P")
    picture.putpalette([200, 10, 10, 0, 0, 0])
    decoded = np.asarray(decode(save(tmp_path / "a.png", picture, transparency=1)))
    assert (decoded[:, 0] == (200, 10, 10)).all() and (decoded[:, 1] == 255).all()


def test_cmyk(tmp_path: Path) -> None:
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = np.asarray(decode(save(tmp_path / "a.jpg", picture, quality=95))).reshape(-1, 3).mean(0)
    assert red > 230 and green < 25 and blue < 25


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    pixels = gradient()
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(np.asarray(decode(path)), pixels)


def test_crop_bottom_drops_rows(tmp_path: Path) -> None:
    pixels = gradient()
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    assert np.array_equal(np.asarray(decode(path, crop_bottom=7)), pixels[:-7])


def test_crop_bottom_of_the_whole_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "small.png", Image.fromarray(gradient()))
    with pytest.raises(DataError, match="small.png.*40"):
        decode(path, crop_bottom=40)


def test_size_hint_scales_large_jpegs_only(tmp_path: Path) -> None:
    large = Image.fromarray(gradient(800, 1200))
    photo = load_photo(save(tmp_path / "a.jpg", large, quality=95), crop_bottom=40, size_hint=200)
    assert photo.scale == 0.25 and photo.image.size == (300, 190)
    exact = large.crop((0, 0, 1200, 760)).resize((300, 190), Image.Resampling.BOX)
    assert np.abs(np.asarray(photo.image, float) - np.asarray(exact, float)).mean() < 2
    assert load_photo(tmp_path / "a.jpg").image.size == (1200, 800)
    assert load_photo(save(tmp_path / "a.png", large), size_hint=200).scale == 1.0


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"cut.{suffix}"):
        decode(path)


@pytest.mark.parametrize("content", [b"", b"not an image at all", b"\xff\xd8\xff\xe0" + bytes(30)])
def test_nonsense_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match="bad.jpg"):
        decode(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone.jpg.*no such file"):
        decode(tmp_path / "gone.jpg")


def test_content_in_memory_is_decoded_as_its_file_is(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera lay on its side
    Image.effect_noise((40, 24), 90).convert("RGB").save(tmp_path / "photo.jpg", exif=turned)
    content = (tmp_path / "photo.jpg").read_bytes()
    assert np.array_equal(decode_content(content, "x", crop_bottom=5), decode(tmp_path / "photo.jpg", crop_bottom=5))
    for wrong, said in ((content[:300], "x.jpg: cannot be decoded"), (b"", "or an empty file"), (b"....ftypheic", "x.jpg: .*image")):
        with pytest.raises(DataError, match=said):
            decode_content(wrong, "x.jpg")
    with pytest.raises(DataError, match="leaves nothing of x.jpg"):
        decode_content(content, "x.jpg", crop_bottom=40)
