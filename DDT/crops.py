"""Crop files at the mirrored path of every image."""

from __future__ import annotations

import io
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from PIL import Image

from datasets.crops import Box, cut
from datasets.files import decode
from datasets.layouts.listing import Sample, show_first
from datasets.suffixes import find_suffix
from runtime.errors import DataError
from runtime.files import write_bytes

JPEG_QUALITY = 95
SHEET = "boxes.png"  # the folder's own picture, which a crop must not be


def mirror(folder: Path, key: str) -> Path:
    """Where the crop of an image goes; DataError when its key would lead out of the folder or is the sheet's name."""
    parts = PurePosixPath(key).parts
    if key == SHEET:
        raise DataError(f"{key}: its crop would be overwritten by the folder's own {SHEET}; rename the image, or use "
                        "--no-crops")
    if not parts or parts[0] == "/" or ".." in parts:
        raise DataError(f"{key}: crops mirror paths below the data-set root and this one leaves it; use --no-crops")
    return folder.joinpath(*parts)


def find_image_format(suffix: str) -> str:
    """Pillow's name of the format that a suffix stands for; raises DataError for one that it cannot write."""
    kind = "JPEG" if suffix.lower() == ".jif" else Image.registered_extensions().get(suffix.lower())
    if kind not in Image.SAVE:
        raise DataError(f"cannot write crops as {suffix!r}; convert the images to JPEG or PNG, or use --no-crops")
    return kind


def check_crops(folder: Path, keys: Iterable[str]) -> None:
    """Raise DataError, before hours are spent, for images whose crops could not be written."""
    problems: dict[str, list[str]] = {}
    for key in keys:
        try:
            mirror(folder, key)
            find_image_format(find_suffix(key))
        except DataError as error:
            problems.setdefault(str(error).removeprefix(f"{key}: "), []).append(key)
    if problems:
        raise DataError("\n".join(f"{problem} ({show_first(keys)})" for problem, keys in problems.items()))


def encode_crop(image: Image.Image, suffix: str) -> bytes:
    """File content in the format that a suffix stands for: JPEG at quality 95, PNG without loss; else DataError."""
    kind = find_image_format(suffix)
    options = {"quality": JPEG_QUALITY} if kind == "JPEG" else {}
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def save_crop(sample: Sample, box: Box, folder: Path, crop_bottom: int = 0) -> None:
    """Write one crop, whole or not at all."""
    path = mirror(folder, sample.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = decode(sample.path, crop_bottom=crop_bottom)
    # They are thousands, and one that a power cut takes is cut anew: no waiting for the disk.
    write_bytes(path, encode_crop(cut(image, box, key=sample.key), find_suffix(path.name)), sync=False)


class CropWriter:
    """Writes crops in threads beside the network's work; a context manager. `enabled=False` writes nothing."""

    def __init__(self, folder: Path, *, crop_bottom: int, threads: int, enabled: bool = True) -> None:
        self.folder, self.crop_bottom, self.enabled = folder, crop_bottom, enabled
        self.pool = ThreadPoolExecutor(max(1, threads))

    def __enter__(self) -> CropWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def start(self, sample: Sample, box: Box) -> Future[None] | None:
        """Begin to write one crop."""
        if not self.enabled:
            return None
        return self.pool.submit(save_crop, sample, box, self.folder, self.crop_bottom)

    def is_missing(self, sample: Sample) -> bool:
        """True when crops are wanted and this one is not there."""
        return self.enabled and not mirror(self.folder, sample.key).exists()
