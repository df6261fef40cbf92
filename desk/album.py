"""The photographs on a desk: by place in the list, by content, and as files that may be shown."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.files import as_source, decode, list_formats
from datasets.images import ImageSet, without
from datasets.layouts.listing import show_first
from datasets.metadata import TURNS, read_orientation
from evaluation.audit.copies import SIDE
from runtime.errors import ConfigError, DataError, StopTraining
from runtime.files import write_bytes
from runtime.names.spelling import show_name

TAKEN, WRITTEN, EXIF = 0x9003, 0x0132, 0x8769  # EXIF's DateTimeOriginal, DateTime, and the block of the first
SIDEWAYS = [TURNS[number] for number in (5, 6, 7, 8)]
LARGE = 1600  # pixels of the longer side of a picture that fills the screen


@dataclass(frozen=True)
class Album:
    """The images, and the sha256 of each file in hexadecimal digits, in the same order."""

    images: ImageSet
    contents: tuple[str, ...]

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.images)

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Where a content lies in the list: copies of a file have several places."""
        places: dict[str, list[int]] = {}
        for index, content in enumerate(self.contents):
            places.setdefault(content, []).append(index)
        return places

    def without(self, keys: Collection[str]) -> Album:
        """The album without some photographs; raises DataError when none is left."""
        pairs = zip(self.images.samples, self.contents)
        return Album(without(self.images, keys), tuple(content for sample, content in pairs if sample.key not in keys))

    def path(self, index: int) -> Path:
        """The file of a photograph."""
        return self.images.samples[index].path

    def caption(self, index: int) -> str:
        """Its path below the folder, for people."""
        return show_name(self.images.samples[index].key)


def refuse_outsiders(images: ImageSet) -> None:
    """Raise ConfigError for photographs that are links out of their folder: only what lies in it is shown."""
    root = os.path.realpath(images.root)
    away = [sample.key for sample in images.samples
            if not os.path.realpath(sample.path).startswith(root.rstrip(os.sep) + os.sep)]
    if away:
        raise ConfigError(f"{len(away)} of {len(images)} photographs are links that lead out of {images.root} "
                          f"({show_first(away)}), and the page shows nothing from outside; give the folder they lie "
                          "in, or copy them")


@dataclass(frozen=True)
class Facts:
    """What a file says of itself: bytes, pixels of the upright picture, and when it was taken, or else written."""

    size: int
    width: int
    height: int
    date: str
    taken: bool


def read_facts(path: Path) -> Facts:
    """The facts of a photograph's file; width and height are 0 where its head cannot be read.

    Raises DataError for a file that is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; it was moved or removed since the page began") from error
    width, height, taken = 0, 0, ""
    # Damage makes Pillow raise anything.
    with suppress(Exception), Image.open(as_source(path), formats=list_formats()) as file:
        width, height = file.size
        turn = read_orientation(file)
        if turn is not None and turn in SIDEWAYS:
            width, height = height, width
        taken = read_date(file)
    written = datetime.fromtimestamp(status.st_mtime).strftime("%Y-%m-%d %H:%M")
    return Facts(status.st_size, width, height, taken or written, bool(taken))


def read_date(file: Image.Image) -> str:
    """When an open photograph was taken, "" where its file does not say."""
    exif = file.getexif()
    told = exif.get_ifd(EXIF).get(TAKEN) or exif.get(WRITTEN) or ""
    try:
        return datetime.strptime(str(told).strip("\0 "), "%Y:%m:%d %H:%M:%S").strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return ""


def encode_picture(picture: Image.Image, side: int, quality: int = 85) -> bytes:
    """A JPEG of a picture, scaled down until neither side is longer than `side` pixels."""
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()


class Thumbnails:
    """Small pictures, `side` pixels at most, made when first asked for and kept in a folder.

    They are named by the photograph's content, so they stay valid wherever it moves.
    """

    def __init__(self, folder: Path, crop_bottom: int = 0, side: int = 256) -> None:
        self.folder = folder / str(crop_bottom) if crop_bottom else folder
        self.crop_bottom, self.side = crop_bottom, side

    def read(self, album: Album, index: int) -> bytes:
        """A photograph's thumbnail (JPEG). Raises DataError when it cannot be decoded."""
        content = album.contents[index]
        path = self.folder / content[:2] / f"{content}.jpg"
        with suppress(OSError):
            return path.read_bytes()
        small = encode_picture(decode(album.path(index), self.crop_bottom, 2 * self.side), self.side, 80)
        with suppress(StopTraining, OSError):  # a full disk: it is made again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, small, sync=False)
        return small

    def shrink_all(self, album: Album, show: Callable[[Iterable[int]], Iterable[int]] = iter) -> Tensor:
        """All thumbnails as grey squares, uint8 [N, SIDE, SIDE]; all that were missing are made.

        `show` may count the places, or end it.
        """
        squares = torch.zeros(len(album), SIDE, SIDE, dtype=torch.uint8)
        for index in show(range(len(album))):
            with suppress(DataError), Image.open(io.BytesIO(self.read(album, index))) as thumbnail:
                square = thumbnail.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
                squares[index] = torch.from_numpy(np.array(square))
        return squares
