"""Photograph-like JPEGs, made here: smooth noise of several scales under a few shapes; they code like photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def make_photo(width: int, height: int, seed: int) -> Image.Image:
    """A picture with a bright object near the middle; file size about that of a real photograph at quality 90."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((height, width, 3), dtype=np.float32)
    for cells, weight in ((4, 110), (16, 60), (64, 30), (192, 18)):
        coarse = rng.integers(0, 255, (max(cells * height // width, 2), cells, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        pixels += weight / 255 * np.asarray(smooth, dtype=np.float32)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    brush = ImageDraw.Draw(picture)
    x, y = (int(rng.integers(side // 4, side // 2)) for side in (width, height))
    brush.ellipse((x, y, x + width // 3, y + height // 3), fill=tuple(rng.integers(0, 255, 3).tolist()))
    for _ in range(12):
        ends = [(int(rng.integers(0, width)), int(rng.integers(0, height))) for _ in range(2)]
        brush.line(ends, fill=tuple(rng.integers(0, 255, 3).tolist()), width=int(rng.integers(1, 4)))
    return picture


def save_photos(folder: Path, count: int, *, width: int = 500, height: int = 375, classes: int = 2) -> list[Path]:
    """`count` JPEGs in class folders below `folder`, class after class."""
    paths = [folder / f"{number % classes:03d}.class" / f"{number:05d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        make_photo(width, height, number).save(path, quality=90)
    return sorted(paths)
