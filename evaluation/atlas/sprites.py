"""Thumbnails by the dozen: few files to copy, and none is decoded before it is in sight."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image
from tqdm import tqdm

from datasets.files import Photo

COLUMNS = ROWS = 8  # so small that a sheet takes little memory once it is decoded
QUALITY = 82


@dataclass(frozen=True)
class TileFrame:
    """A thumbnail's `width` and `height` in pixels of its sheet, and those of the original picture."""

    width: int
    height: int
    original_width: float
    original_height: float


@dataclass(frozen=True)
class Sprites:
    """JPEGs of sheets of `COLUMNS` x `ROWS` tiles, `side` pixels each, and the frame of every picture, in order.

    Picture i lies on sheet i // 64, in the tile i % 64, at its upper left.
    """

    side: int
    sheets: list[bytes]
    frames: list[TileFrame]


def draw_sprites(count: int, open_photo: Callable[[int, int], Photo], side: int) -> Sprites:
    """Thumbnails of `count` pictures; `open_photo(index, size_hint)` decodes one. A bar tells how many are done."""
    frames: list[TileFrame] = []
    sheets = []
    with tqdm(total=count, desc="thumbnails", unit="img") as bar:
        for start in range(0, count, COLUMNS * ROWS):
            indices = range(start, min(start + COLUMNS * ROWS, count))
            sheet = Image.new("RGB", (COLUMNS * side, -(-len(indices) // COLUMNS) * side), "#808890")
            frames += draw_tiles(sheet, side, (open_photo(index, side) for index in indices), bar)
            content = io.BytesIO()
            sheet.save(content, "JPEG", quality=QUALITY)
            sheets.append(content.getvalue())
    return Sprites(side, sheets, frames)


def draw_tiles(sheet: Image.Image, side: int, photos: Iterator[Photo], bar: tqdm) -> Sequence[TileFrame]:
    """Paste the pictures into the tiles of a sheet, one after another."""
    frames = []
    for place, photo in enumerate(photos):
        width, height = photo.image.size
        scale = side / max(width, height)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        tile = photo.image.resize(size, Image.Resampling.LANCZOS)
        sheet.paste(tile, (place % COLUMNS * side, place // COLUMNS * side))
        frames.append(TileFrame(*size, width / photo.scale, height / photo.scale))
        bar.update()
    return frames
