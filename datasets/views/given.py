"""Pictures as a program gives them: paths, Pillow's pictures, arrays; batch by batch to what a network looks at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, Union, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datasets.files import decode, take_picture
from datasets.views.recipes import View, make_transform
from runtime.errors import ConfigError, DataError

GivenPicture: TypeAlias = Union[str, "os.PathLike[str]", Image.Image, NDArray[np.uint8]]
GivenPictures: TypeAlias = GivenPicture | Iterable[GivenPicture]
KNOWN = "a path, a picture of Pillow, or a uint8 array [H, W, 3]"


@dataclass(frozen=True)
class GivenBatch:
    """Some pictures: a name for messages and (width, height) in pixels of each; `pixels` uint8 [B, 3, size, size]."""

    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    pixels: Tensor

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.names)


@dataclass(frozen=True)
class _Waiting:
    """A picture that is being read, and what messages call it."""

    name: str
    pixels: Future[tuple[Tensor, tuple[int, int]]]


def is_one_picture(given: GivenPictures) -> bool:
    """Whether a single picture is given, not a collection of them."""
    return isinstance(given, (str, os.PathLike, Image.Image)) or (isinstance(given, np.ndarray) and given.ndim < 4)


def holds_one_picture(given: GivenPictures) -> bool:
    """Whether it is one picture, or a list of one."""
    return is_one_picture(given) or (isinstance(given, Sized) and len(given) == 1)


def list_given_pictures(given: GivenPictures) -> Iterator[GivenPicture]:
    """The pictures one after another; raises TypeError for what holds none."""
    if is_one_picture(given):
        return iter([cast(GivenPicture, given)])
    if not isinstance(given, Iterable):
        raise TypeError(f"{type(given).__name__} is no picture: give {KNOWN}, or several of them")
    return iter(given)


def read_given(
    given: GivenPictures, view: View, batch_size: int, *, crop_bottom: int = 0, threads: int = 0
) -> Iterator[GivenBatch]:
    """Batches of pictures in one view that draws nothing; while one is looked at, the next is decoded by threads.

    Paths are read as commands read them, upright. Pictures in memory are taken as they stand: an orientation in their
    EXIF is left alone, so that places in pixels are those of the picture as its owner holds it. `crop_bottom` pixel
    rows are dropped of each. `threads` 0: one a processor, 8 at most. Nothing global is touched, and no more of an
    iterator is taken than the batch to come. Raises DataError with every problem of a batch, ConfigError for a
    `batch_size` below 1 and negative `threads`.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size {batch_size}: give 1 or more")
    if threads < 0:
        raise ConfigError(f"threads {threads}: give 0 or more")
    transform = make_transform(view)

    def render(picture: str | Path | Image.Image) -> tuple[Tensor, tuple[int, int]]:
        image = (take_picture(picture, crop_bottom) if isinstance(picture, Image.Image)
                 else decode(picture, crop_bottom))
        return transform(image), image.size

    pictures = enumerate(list_given_pictures(given))
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        coming = _start(islice(pictures, batch_size), pool, render)
        while coming:
            now, coming = coming, _start(islice(pictures, batch_size), pool, render)
            yield _finish(now)


def _start(
    pictures: Iterable[tuple[int, GivenPicture]], pool: ThreadPoolExecutor,
    render: Callable[[str | Path | Image.Image], tuple[Tensor, tuple[int, int]]],
) -> list[_Waiting]:
    """The pictures on their way. One in memory is copied here, for its owner may go on to its next frame."""
    waiting = []
    for place, picture in pictures:
        name = os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else f"picture {place}"
        try:
            found = _open(picture)
        except Exception as error:  # a damaged file makes Pillow's plugins raise nearly anything
            failed: Future[Any] = Future()
            failed.set_exception(DataError(f"{name}: {error}"))
            waiting.append(_Waiting(name, failed))
        else:
            waiting.append(_Waiting(name, pool.submit(render, found)))
    return waiting


def _open(picture: object) -> str | Path | Image.Image:
    """A path as it is, or a copy of a picture in memory; raises DataError for anything else, and for no pixels."""
    if isinstance(picture, (str, os.PathLike)):
        return picture if isinstance(picture, Path) else os.fspath(picture)  # one in an archive knows where it lies
    if isinstance(picture, Image.Image):
        if 0 in picture.size:
            raise DataError(f"a picture of {picture.width} x {picture.height} pixels holds nothing")
        return picture.copy()
    if (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
            and picture.size):
        return Image.fromarray(np.ascontiguousarray(picture))
    shape = f" of {picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else ""
    raise DataError(f"a {type(picture).__name__}{shape} is no picture: give {KNOWN}")


def _finish(waiting: list[_Waiting]) -> GivenBatch:
    """The batch once all of it is there; raises DataError with every problem in it."""
    problems, read = [], []
    for one in waiting:
        try:
            read.append(one.pixels.result())
        except ValueError as error:  # DataError is one; so is a grey picture without a number in it
            problems.append(str(error) if one.name in str(error) else f"{one.name}: {error}")
    if problems:
        raise DataError("\n".join(problems))
    return GivenBatch(tuple(one.name for one in waiting), tuple(size for _, size in read),
                      torch.stack([pixels for pixels, _ in read]))
