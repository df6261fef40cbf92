"""Image files: which files count as images, and how their pixels become an RGB picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from runtime.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm"})


@dataclass(frozen=True)
class Photo:
    """A decoded picture and its scale: decoded pixels per original pixel (1.0 unless a size hint allowed less)."""

    image: Image.Image
    scale: float


def is_image(name: str) -> bool:
    """True for a visible file with an image's suffix, in any case."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def walk_images(folder: Path) -> Iterator[Path]:
    """Every image below `folder` in sorted order; hidden folders are skipped, links are followed."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if is_image(name))


def decode(path: str | Path, crop_bottom: int = 0, size_hint: int | None = None) -> Image.Image:
    """The picture as RGB: see `load_photo`."""
    return load_photo(path, crop_bottom, size_hint).image


def load_photo(path: str | Path, crop_bottom: int = 0, size_hint: int | None = None) -> Photo:
    """Decode a whole file to RGB, upright (EXIF), alpha on white, 16-bit grey scaled to 8 bits.

    `crop_bottom` drops that many rows of original pixels (the FGVC banner). With `size_hint` a JPEG may be decoded
    at 1/2, 1/4 or 1/8 of its size, with both sides still at least `size_hint` pixels.
    Raises DataError, naming the file, when it cannot be read to its end.
    """
    try:
        with Image.open(path) as file:
            width = file.size[0]
            if size_hint:
                file.draft(None, (size_hint, size_hint))
            scale = file.size[0] / width
            image = _to_rgb(ImageOps.exif_transpose(file))
    except Exception as error:  # a damaged file makes Pillow's plugins raise nearly anything
        raise DataError(f"{path}: cannot be decoded as an image ({_reason(error)})") from error
    return Photo(_drop_rows(image, round(crop_bottom * scale), path), scale)


def _reason(error: Exception) -> str:
    """A decoder's complaint in one short line, without the path that the caller names anyway."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image, or an empty file"
    return f"{type(error).__name__}: {error}"


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB; loads the pixels."""
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bits(image)
    # A file's own handle closes with the file, so its pixels must be in memory even when nothing is converted.
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit (0..65535) or float (0..1, or 0..255 when above 1) grey to 8-bit grey."""
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        values = values * 255.0 if values.max(initial=0.0) <= 1.0 else values
    else:
        values = values / 257.0
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _drop_rows(image: Image.Image, rows: int, path: str | Path) -> Image.Image:
    """The picture without its last `rows` pixel rows."""
    if rows <= 0:
        return image
    if rows >= image.height:
        raise DataError(f"{path}: crop-bottom removes {rows} pixel rows of {image.height}; use a smaller value or 0")
    return image.crop((0, 0, image.width, image.height - rows))
