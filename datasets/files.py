"""Image files: which files count as images, and where they are. `datasets.decoding` reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from datasets.decoding import Photo, decode, load_photo
from runtime.errors import DataError

__all__ = ["DataError", "Photo", "SUFFIXES", "decode", "is_image", "load_photo", "walk_images"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm"})


def is_image(name: str) -> bool:
    """True for a visible file with an image's suffix, in any case."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def walk_images(folder: Path) -> Iterator[Path]:
    """Every image below `folder` in sorted order; hidden folders are skipped, links are followed."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if is_image(name))
