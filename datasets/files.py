"""From an image file to an upright RGB picture: whatever its mode, its bit depth, and the state of its metadata."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import Image, ImageFile

from datasets.metadata import Upright, read_orientation, strip_metadata
from datasets.tars.member import TarMember
from datasets.wide_grey import to_8_bits
from runtime.errors import DataError

# Named one by one, since Pillow would start Ghostscript for an EPS that is called .jpg.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "AVIF")
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
HEIF_REMEDY = "pip install pillow-heif"
Source = str | Path | bytes  # a file, or the content of one
MAX_PIXELS = 178_956_970  # 512 MiB of RGB; a file that claims more is refused before anything is unpacked

# Pillow warns from half of that on; up to the limit a picture is large, and there is nothing to fix.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Photo:
    """A decoded picture and its scale: decoded pixels per original pixel (1.0 unless a size hint allowed less)."""

    image: Image.Image
    scale: float


@lru_cache(maxsize=1)
def list_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read; HEIF is one of them where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return _known_formats()
    register_heif_opener()
    return (*_known_formats(), "HEIF")


def _known_formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow has heard of: AVIF came with 11.3."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def decode(path: str | Path, crop_bottom: int = 0, size_hint: int | None = None) -> Image.Image:
    """The picture as RGB: see `load_photo`."""
    return load_photo(path, crop_bottom, size_hint).image


def take_picture(picture: Image.Image, crop_bottom: int = 0) -> Image.Image:
    """A picture in memory as `decode` gives those of files, but as it stands: an orientation in its EXIF is left alone.

    Raises DataError when `crop_bottom` leaves nothing of it.
    """
    return _drop_rows(_to_rgb(picture), crop_bottom, "a picture in memory")


def decode_content(content: bytes, name: str, crop_bottom: int = 0) -> Image.Image:
    """What `decode` gives of a file that is in memory alone; DataError calls it by `name`."""
    photo = _read_anyhow(content, name, None)
    return _drop_rows(photo.image, crop_bottom, name)


def load_photo(path: str | Path, crop_bottom: int = 0, size_hint: int | None = None) -> Photo:
    """Decode a whole file to RGB: its first frame, upright (EXIF), alpha on white, wide grey scaled to 8 bits.

    `crop_bottom` drops that many rows of original pixels (the FGVC banner). With `size_hint` a JPEG may be decoded
    at 1/2, 1/4 or 1/8 of its size, with both sides still at least `size_hint` pixels.
    Metadata that cannot be read is no reason to refuse the pixels.
    Raises DataError, naming the file, when they cannot be read to their end.
    """
    photo = _read_anyhow(path, path, size_hint)
    return Photo(_drop_rows(photo.image, round(crop_bottom * photo.scale), path), photo.scale)


def _read_anyhow(source: Source, name: str | Path, size_hint: int | None) -> Photo:
    """The picture of a file or of its content, whatever the state of its metadata."""
    try:
        return _read(source, size_hint)
    except Exception as error:  # a damaged file makes Pillow's plugins raise nearly anything
        return _read_without_metadata(source, name, size_hint, error)


def as_source(source: Source) -> str | Path | io.BytesIO:
    """What Pillow opens: the file, or the content of one in an archive or in memory. Raises OSError."""
    if isinstance(source, TarMember):
        source = source.read_bytes()
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _read(source: Source, size_hint: int | None, exif: bytes | None = None) -> Photo:
    """The picture of a file or of its content; `exif` stands for the EXIF block of the content."""
    with Image.open(as_source(source), formats=list_formats()) as file:
        width, height = file.size
        if width * height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{width} x {height} pixels")
        if size_hint:
            file.draft(None, (size_hint, size_hint))
        scale = file.size[0] / width
        _mend_transparency(file)
        file.load()
        turn = read_orientation(file, exif)
        return Photo(_turn(_to_rgb(file), turn), scale)


def _read_without_metadata(
    source: Source, name: str | Path, size_hint: int | None, error: Exception
) -> Photo:
    """Another try at a file that failed with `error`, without the parts of it that say nothing of its pixels."""
    try:
        if isinstance(error, (FileNotFoundError, Image.DecompressionBombError)):
            raise error
        rest = strip_metadata(source if isinstance(source, bytes) else _as_path(source).read_bytes())
        return _read(rest.content, size_hint, rest.exif)
    except Exception:  # the first complaint is about the file as it is
        raise DataError(f"{name}: cannot be decoded as an image ({_reason(error, source)})") from error


def _as_path(path: str | Path) -> Path:
    """A path that reads what it names; `Path(path)` would forget that it lies in an archive."""
    return path if isinstance(path, Path) else Path(path)


def _reason(error: Exception, source: Source) -> str:
    """A decoder's complaint in one short line, without the path that the caller names anyway."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, Image.UnidentifiedImageError):
        return _tell_unknown(source)
    if isinstance(error, Image.DecompressionBombError):
        return f"it claims more than {MAX_PIXELS:,} pixels; scale it down, or remove it"
    return f"{type(error).__name__}: {error}"


def _tell_unknown(source: Source) -> str:
    """What to do about a file that no reader knows."""
    head = source[:12] if isinstance(source, bytes) else _read_head(source)
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS and "HEIF" not in list_formats():
        return f"a HEIC photograph; to read such files: {HEIF_REMEDY}"
    if head[4:12] in (b"ftypavif", b"ftypavis") and not _reads_avif():
        return "an AVIF photograph, which this Pillow was built without; pip install --upgrade pillow"
    return f"not an image of {', '.join(list_formats())}, or an empty file"


def _read_head(path: str | Path) -> bytes:
    with _as_path(path).open("rb") as file:
        return file.read(12)


def _reads_avif() -> bool:
    from PIL import features

    return "AVIF" in Image.OPEN and bool(features.check("avif"))


def _mend_transparency(file: ImageFile.ImageFile) -> None:
    """Bring the transparent colour of a PNG to the scale of the pixels that Pillow makes of it.

    The file counts 2, 4 or 16 bits a channel where the pixels have 8. Of 16 bits the upper half must do.
    """
    clear = file.info.get("transparency")
    raw = str(file.tile[0][3]) if file.format == "PNG" and file.tile else ""  # `args` by name since Pillow 11.1
    if isinstance(clear, tuple) and raw == "RGB;16B":
        file.info["transparency"] = tuple(value >> 8 for value in clear)
    if isinstance(clear, int) and raw in ("L;2", "L;4"):
        file.info["transparency"] = clear * {"L;2": 85, "L;4": 17}[raw]


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB; the pixels are in memory."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB")


def _turn(image: Image.Image, turn: Upright | None) -> Image.Image:
    """The picture upright."""
    return image if turn is None else image.transpose(turn)


def _drop_rows(image: Image.Image, rows: int, path: str | Path) -> Image.Image:
    """The picture without its last `rows` pixel rows."""
    if rows <= 0:
        return image
    if rows >= image.height:
        raise DataError(f"--crop-bottom {rows} leaves nothing of {path}, which has {image.height} pixel rows; use a "
                        "smaller value or 0")
    return image.crop((0, 0, image.width, image.height - rows))


def find_crop_bottom(wanted: int | Literal["auto"], task: str) -> int:
    """Pixel rows to drop at the bottom: what was asked for, else FGVC-Aircraft's banner of 20."""
    if wanted == "auto":
        return 20 if task == "aircraft" else 0
    return int(wanted)
