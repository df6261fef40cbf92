"""Sound pictures stay sound: odd modes, broken metadata, odd pixels, and files that are no pictures at all."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.files import MAX_PIXELS, decode, list_formats
from runtime.errors import DataError

HEAD = b"\x89PNG\r\n\x1a\n"
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 8, 3), dtype=np.uint8)).resize((32, 16))


def chunk(kind: bytes, body: bytes) -> bytes:
    """One part of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels: np.ndarray, depth: int, colour: int, *more: bytes, size: tuple[int, int] | None = None) -> bytes:
    """A PNG of rows of bytes [H, B], as the standard has it; Pillow writes few of the kinds that it reads."""
    width, height = size or (pixels.shape[1] * 8 // depth, len(pixels))
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"".join([HEAD, head, *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def written(path: Path, content: bytes) -> Path:
    """The path of a file with this content."""
    path.write_bytes(content)
    return path


def saved(kind: str, **options: object) -> bytes:
    """NOISE as a file."""
    content = io.BytesIO()
    NOISE.save(content, kind, **options)
    return content.getvalue()


def directory(order: str, *entries: tuple[int, int, int, int], count: int | None = None) -> bytes:
    """A TIFF block: entries of tag, type, number of values, and value or place."""
    packed = b"".join(
        struct.pack(order + "HHI", *entry[:3]) + struct.pack(order + ("HH" if entry[1] == 3 else "I"), *entry[3:],
                                                             *[0] * (entry[1] == 3)) for entry in entries)
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IH", 8, len(entries) if count is None else count) + packed + bytes(4)


TURNED = (0x112, 3, 1, 6)
BROKEN = {
    "gps points nowhere": lambda order: directory(order, TURNED, (0x8825, 4, 1, 99999)),
    "exif points at itself": lambda order: directory(order, TURNED, (0x8769, 4, 1, 8)),
    "a text of 2 GB": lambda order: directory(order, (0x10F, 2, 2**31, 12), TURNED),
    "an unknown type": lambda order: directory(order, (0x10F, 99, 1, 7), TURNED),
    "fewer entries than said": lambda order: directory(order, TURNED, count=60000),
    "orientation as a long": lambda order: directory(order, (0x112, 4, 1, 6)),
}
NONSENSE = [b"", b"II", b"II\0\0\0\0\0\0", b"This_is_not_valid_EXIF_data", b"\0\x08\0\2\1\x12\0\3", b"\xff" * 64,
            directory("<", TURNED)[:15], directory("<", (0x112, 3, 1, 9)), directory("<", (0x112, 2, 2, 6))]


def with_exif(suffix: str, block: bytes) -> bytes:
    """NOISE with an EXIF block that no writer has looked at."""
    if suffix == "jpg":
        plain, body = saved("JPEG"), b"Exif\0\0" + block
        return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]
    if suffix == "png":
        plain = saved("PNG")
        return plain[:33] + chunk(b"eXIf", block) + plain[33:]
    return saved("WEBP", exif=b"Exif\0\0" + block, lossless=True)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_orientation_is_obeyed_whatever_else_is_broken(tmp_path: Path, suffix: str) -> None:
    for order in "<>":
        for what, make in BROKEN.items():
            assert decode(written(tmp_path / f"a.{suffix}", with_exif(suffix, make(order)))).size == (16, 32), what


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_that_says_nothing_leaves_the_picture_as_it_is(tmp_path: Path, suffix: str) -> None:
    for block in NONSENSE:
        assert decode(written(tmp_path / f"a.{suffix}", with_exif(suffix, block))).size == (32, 16), block


@pytest.mark.skipif("AVIF" not in list_formats(), reason="this Pillow knows no AVIF")
def test_broken_exif_of_avif(tmp_path: Path) -> None:
    avif = saved("AVIF", exif=b"Exif\0\0" + directory("<", TURNED, (0x8825, 4, 1, 99999)))
    place = avif.index(b"II*\0")
    assert decode(written(tmp_path / "a.avif", avif)).size == (16, 32)
    assert decode(written(tmp_path / "a.avif", avif[:place] + b"nonsense" + avif[place + 8 :])).size == (16, 32)


def test_a_format_that_this_pillow_does_not_know_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    monkeypatch.setattr("datasets.files.list_formats", list_formats.__wrapped__)  # asked anew
    assert "AVIF" not in list_formats.__wrapped__() and "PNG" in list_formats.__wrapped__()
    assert decode(written(tmp_path / "a.png", saved("PNG"))).size == (32, 16)
    with pytest.raises(DataError, match="an AVIF photograph"):
        decode(written(tmp_path / "a.avif", b"\0\0\0\x1cftypavif" + bytes(64)))


def test_broken_exif_of_tiff(tmp_path: Path) -> None:
    plain = saved("TIFF", tiffinfo={274: 6})
    start = struct.unpack_from("<I", plain, 4)[0]
    count = struct.unpack_from("<H", plain, start)[0]
    entries = sorted([plain[start + 2 + 12 * n :][:12] for n in range(count)] + [struct.pack("<HHII", 700, 4, 1, 3)],
                     key=lambda entry: struct.unpack_from("<H", entry))
    again = plain[:4] + struct.pack("<I", len(plain)) + plain[8:] + struct.pack("<H", len(entries)) + b"".join(entries)
    assert decode(written(tmp_path / "a.tif", again + bytes(4))).size == (16, 32)


LONG = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize("more", [
    [chunk(b"zTXt", b"note\0\0" + LONG)],
    [chunk(b"iTXt", b"note\0\1\0\0\0" + LONG)], [chunk(b"iCCP", b"sRGB\0\0" + LONG)],
    [chunk(b"tEXt", b"note\0" + bytes(900_000))] * 80, [chunk(b"iCCP", b"sRGB\0\0nonsense")], [chunk(b"gAMA", b"\0")],
    [chunk(b"tEXt", b"note\0text")[:-1] + b"?"],
], ids=["zTXt", "iTXt", "iCCP", "many texts", "broken profile", "short gamma", "wrong sum"])
def test_png_with_long_or_broken_side_parts(tmp_path: Path, more: list[bytes]) -> None:
    plain, turned = saved("PNG"), chunk(b"eXIf", directory("<", TURNED))
    last = len(plain) - 12
    for content in (plain[:33] + b"".join(more) + turned + plain[33:], plain[:last] + b"".join(more) + turned + plain[last:]):
        got = np.asarray(decode(written(tmp_path / "a.png", content)))
        assert np.array_equal(got, np.rot90(np.asarray(NOISE), -1))
    from PIL import PngImagePlugin

    assert PngImagePlugin.MAX_TEXT_CHUNK == 2**20  # nothing was loosened for anybody


def test_jpeg_with_a_broken_segment(tmp_path: Path) -> None:
    plain = saved("JPEG")
    short = plain[:2] + b"\xff\xe0\0\7JFIF\0" + plain[2:]
    assert decode(written(tmp_path / "a.jpg", short)).size == (32, 16)


def test_wide_grey_with_a_transparent_value(tmp_path: Path) -> None:
    grey = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    clear = chunk(b"tRNS", struct.pack(">H", int(grey[2, 3])))
    got = np.asarray(decode(written(tmp_path / "a.png", png(grey.astype(">u2").view(np.uint8), 16, 0, clear, size=(8, 8)))))
    expected = np.rint(grey / 257)
    expected[2, 3] = 255
    assert np.array_equal(got[..., 0], expected)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_narrow_grey_with_a_transparent_value(tmp_path: Path, depth: int) -> None:
    levels = np.arange(2**depth).repeat(8 // depth)[None]
    bits = np.packbits(((levels[..., None] >> np.arange(depth)[::-1]) & 1).astype(np.uint8).reshape(1, -1), axis=1)
    for clear in range(2**depth):
        content = png(bits, depth, 0, chunk(b"tRNS", struct.pack(">H", clear)), size=(levels.size, 1))
        got = np.asarray(decode(written(tmp_path / "a.png", content)))[0, :, 0]
        assert np.array_equal(got, np.where(levels[0] == clear, 255, levels[0] * 255 // (2**depth - 1))), clear


def test_colours_of_16_bits_with_a_transparent_one(tmp_path: Path) -> None:
    pixels = (np.arange(48, dtype=np.uint16).reshape(4, 12) * 1300)
    clear = chunk(b"tRNS", struct.pack(">3H", *pixels[1, 3:6]))
    got = np.asarray(decode(written(tmp_path / "a.png", png(pixels.astype(">u2").view(np.uint8), 16, 2, clear, size=(4, 4)))))
    expected = (pixels >> 8).reshape(4, 4, 3)
    expected[1, 1] = 255
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("mode", ["PA", "LAB", "I;16B", "1", "CMYK"])
def test_modes_that_files_have(tmp_path: Path, mode: str) -> None:
    start = {"PA": "LA", "I;16B": "I"}.get(mode, "RGB")
    picture = NOISE.convert("L").convert(start) if mode in ("I;16B", "PA") else NOISE.convert(start)
    if mode == "I;16B":
        Image.fromarray(np.asarray(picture).astype(">u2") * 257).save(tmp_path / "a.tif")
    else:
        picture.convert(mode).save(tmp_path / "a.tif")
    expected = {"1": NOISE.convert("1"), "PA": NOISE.convert("L"),
                "I;16B": NOISE.convert("L")}.get(mode, NOISE).convert("RGB")
    got = decode(tmp_path / "a.tif")
    assert np.abs(np.asarray(got, int) - np.asarray(expected, int)).mean() < (8 if mode == "PA" else 3)


RAMP = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (16, 1))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1.01, -0.01, 1.5, 7.3, 300.5, 1e30, -1e30])
@pytest.mark.parametrize("scale", [1, 255, 65535])
def test_one_odd_pixel_changes_no_other(tmp_path: Path, odd: float, scale: float) -> None:
    values = RAMP * scale
    values[0, 0] = odd
    Image.fromarray(values).save(tmp_path / "a.tif")
    got = np.asarray(decode(tmp_path / "a.tif"))[..., 0]
    assert np.array_equal(got[1:], np.rint(255 * RAMP[1:]))


@pytest.mark.parametrize("values, mean", [
    (RAMP * 1.2, 148), (2 * RAMP - 1, 127.5), (200 * RAMP - 100, 127.5), (RAMP * 1e6, 127.5), (0 * RAMP, 0),
    (0 * RAMP + 1, 255), (0 * RAMP - 5, 128), ((RAMP * 65535).astype(np.int32), 127.5), ((RAMP * 1e9).astype(np.int32), 127.5),
    (RAMP * 4095, 8), (RAMP * 16383, 32),  # 12 and 14 bits count as 16, whatever the exposure
])
def test_the_scale_of_wide_grey(tmp_path: Path, values: np.ndarray, mean: float) -> None:
    Image.fromarray(values.astype(np.int32 if values.dtype == np.int32 else np.float32)).save(tmp_path / "a.tif")
    assert np.asarray(decode(tmp_path / "a.tif")).mean() == pytest.approx(mean, abs=2)


def test_a_dark_picture_with_a_few_lights_stays_dark(tmp_path: Path) -> None:
    values = 0 * RAMP
    values[3, 3] = 200
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.asarray(decode(tmp_path / "a.tif")).max() == 200


def test_no_number_at_all_is_named(tmp_path: Path) -> None:
    Image.fromarray(RAMP * np.nan).save(tmp_path / "blank.tif")
    with pytest.raises(DataError, match="blank.tif.*no pixel is a number"):
        decode(tmp_path / "blank.tif")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_first_frame(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
    red, _, blue = decode(tmp_path / "a").getpixel((4, 4))
    assert red > 250 and blue < 5


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
                                     b"%PDF-1.4\n", b"<svg/>"])
def test_no_other_program_is_started(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(DataError, match="x.jpg.*not an image of JPEG"):
        decode(written(tmp_path / "x.jpg", content))


@pytest.mark.filterwarnings("error")
def test_a_bomb_is_refused_in_one_message_and_a_large_picture_is_not_warned_of(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(DataError, match="bomb.png.*claims more than 178,956,970 pixels"):
        decode(written(tmp_path / "bomb.png", png(np.zeros((1, 8), np.uint8), 8, 0, size=(side, side))))


def test_heic_without_its_reader_names_the_remedy(tmp_path: Path) -> None:
    if "HEIF" in list_formats():
        pytest.skip("pillow-heif is installed")
    with pytest.raises(DataError, match="IMG_1.HEIC.*pip install pillow-heif"):
        decode(written(tmp_path / "IMG_1.HEIC", b"\0\0\0\x18ftypheic" + bytes(40)))
