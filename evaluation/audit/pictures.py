"""Every file decoded to its end: what it holds, and what is needed to compare it with others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from datasets.files import as_source, decode, list_formats
from datasets.layouts.listing import Sample
from datasets.metadata import find_exif_orientation
from evaluation.audit.copies import SIDE
from runtime.errors import DataError
from runtime.files import hash_file

COLOURS = 64  # pixels of the side at which colours are looked at


@dataclass(frozen=True)
class FileFacts:
    """A file and its picture: `fault` says why it cannot be decoded, and then nothing else is known.

    `content` and `pixels` are hashes of the bytes and of the upright RGB picture; `place` is the file's device and
    number, equal for links to one file. `width` and `height` are upright pixels; `orientation` 1 to 8 as EXIF has it
    (1 = upright); `contrast` is the standard deviation of grey levels, `colour` the mean difference between channels,
    both of 0 to 255. `moving`: it has more than one frame. `small` uint8 [SIDE, SIDE] is the grey picture in a square.
    """

    fault: str | None = None
    content: str = ""
    pixels: str = ""
    place: tuple[int, int] = (0, 0)
    form: str = ""
    width: int = 0
    height: int = 0
    orientation: int = 1
    contrast: float = 0.0
    colour: float = 0.0
    moving: bool = False
    small: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((SIDE, SIDE), np.uint8), repr=False)


def inspect_files(samples: Sequence[Sample], workers: int = 0, crop_bottom: int = 0) -> list[FileFacts]:
    """The facts of every sample's file, in order; of each, `crop_bottom` pixel rows are dropped first.

    Threads suffice, since Pillow decodes outside the interpreter's lock; 0 workers means one per processor.
    """
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = pool.map(partial(inspect_file, crop_bottom=crop_bottom), [sample.path for sample in samples])
        return list(tqdm(found, total=len(samples), unit="img", desc="opening files"))


def inspect_file(path: Path, crop_bottom: int = 0) -> FileFacts:
    """The facts of one file."""
    try:
        picture = decode(path, crop_bottom)
        status = path.stat()
        content = hash_file(path)
    except (DataError, OSError) as error:
        return FileFacts(fault=str(error).removeprefix(f"{path}: "))
    form, orientation, moving = _read_head(path)
    grey = picture.convert("L")
    channels = np.asarray(picture.resize((COLOURS, COLOURS), Image.Resampling.BILINEAR), dtype=np.int16)
    pixels = hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()
    return FileFacts(content=content, pixels=pixels, place=(status.st_dev, status.st_ino), form=form,
                     width=picture.width, height=picture.height, orientation=orientation,
                     contrast=float(np.asarray(grey.reduce(max(1, min(grey.size) // 256))).std()),
                     colour=float(np.ptp(channels, axis=2).mean()), moving=moving,
                     small=np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS)))


def _read_head(path: Path) -> tuple[str, int, bool]:
    """Format, orientation and whether there are several frames; a picture whose metadata is broken says nothing."""
    try:
        with Image.open(as_source(path), formats=list_formats()) as file:
            form = "JPEG" if file.format == "MPO" else str(file.format)
            moving = form in ("GIF", "PNG", "WEBP") and bool(getattr(file, "is_animated", False))
            return form, find_exif_orientation(bytes(file.info.get("exif", b""))) or 1, moving
    except Exception:  # a damaged header makes Pillow's plugins raise nearly anything, and `decode` has coped
        return "", 1, False


def stack_small(facts: Sequence[FileFacts]) -> Tensor:
    """The small grey pictures, uint8 [N, SIDE, SIDE]."""
    return torch.from_numpy(np.stack([one.small for one in facts]))
