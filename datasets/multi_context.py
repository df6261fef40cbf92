"""Several views of one image in two contexts: the full picture and the object's crop."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from datasets.files import DataError, Photo, decode, load_photo
from datasets.images import ImageSet, Sample
from datasets.listing import show
from datasets.loader import Item, per_view_seed
from datasets.samplers import Draw
from datasets.tables import read_rows
from datasets.views import View, make_transform
from runtime.names import unspell_path


@dataclass(frozen=True)
class Box:
    """Corners in pixels of the original image (before any banner is cut off); x2 and y2 are exclusive."""

    x1: float
    y1: float
    x2: float
    y2: float


def read_boxes(path: str | Path) -> dict[str, Box]:
    """boxes.csv (path,x1,y1,x2,y2[,width,height,...]) as key -> box.

    Raises DataError that names every line whose box is no numbers, empty, or outside of the image.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; run DDT on the data set, or write path,x1,y1,x2,y2 by hand")
    boxes: dict[str, Box] = {}
    problems = []
    for line, row in read_rows(path, ("path", "x1", "y1", "x2", "y2")):
        key = os.path.normpath(unspell_path(row["path"]))
        try:
            boxes[key] = _parse_box(row)
        except ValueError as error:
            problems.append(f"line {line}: {key}: {error}")
    if problems:
        raise DataError(f"{path}: {len(problems)} bad boxes; mend them or run DDT again\n  " + show(problems, "\n  "))
    return boxes


def _parse_box(row: dict[str, str]) -> Box:
    """A row's box; raises ValueError when nothing of it lies in the image."""
    box = Box(*(float(row[name]) for name in ("x1", "y1", "x2", "y2")))
    width, height = (float(row.get(name) or math.inf) for name in ("width", "height"))
    # Written so that a NaN fails as well.
    if not (max(box.x1, 0) < min(box.x2, width) and max(box.y1, 0) < min(box.y2, height)):
        raise ValueError(f"the box {box.x1:g},{box.y1:g},{box.x2:g},{box.y2:g} holds no pixel of the image")
    return box


@dataclass(frozen=True)
class Crops:
    """Where an image's crop comes from: a table of boxes (one decode serves both contexts), or mirrored files."""

    root: Path
    boxes: dict[str, Box] | None

    @classmethod
    def open(cls, root: str | Path, prefer: Literal["auto", "boxes", "files"] = "auto") -> Crops:
        """The crops under `root`; "auto" takes boxes.csv when there is one. `root` may be a boxes file itself."""
        root = Path(root)
        if not root.exists():
            raise DataError(f"{root}: no such crop folder; run DDT first (./run_ddt.sh), or check the path")
        if root.is_file():
            return cls(root.parent, read_boxes(root))
        table = root / "boxes.csv"
        if prefer == "boxes" or (prefer == "auto" and table.is_file()):
            return cls(root, read_boxes(table))
        return cls(root, None)

    def missing(self, images: ImageSet) -> list[str]:
        """Keys of `images` that have no crop."""
        keys = (sample.key for sample in images.samples)
        if self.boxes is not None:
            return [key for key in keys if key not in self.boxes]
        return [key for key in keys if not (self.root / key).is_file()]

    def crop(self, sample: Sample, full_image: Image.Image | None = None, scale: float = 1.0) -> Image.Image:
        """The crop of a sample: cut from `full_image` (decoded at `scale`) by its box, else read from its file."""
        if self.boxes is None:
            return decode(self.root / sample.key)
        image = decode(sample.path) if full_image is None else full_image
        return cut(image, self.boxes[sample.key], scale, sample.key)


def cut(image: Image.Image, box: Box, scale: float = 1.0, key: str = "image") -> Image.Image:
    """The box's pixels, clipped to the image; raises DataError when none of them is in it."""
    left, top = max(math.floor(box.x1 * scale), 0), max(math.floor(box.y1 * scale), 0)
    right, bottom = min(math.ceil(box.x2 * scale), image.width), min(math.ceil(box.y2 * scale), image.height)
    if left >= right or top >= bottom:
        raise DataError(f"{key}: its box {box} lies outside of {image.width} x {image.height} pixels; mend boxes.csv")
    return image.crop((left, top, right, bottom))


@contextmanager
def preserved_generators() -> Iterator[None]:
    """Leave the global generators of random, NumPy and torch (CPU) as they were found."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def seed_generators(seed: int) -> None:
    """Seed random, NumPy and torch (CPU) from one 64-bit number."""
    random.seed(seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
    torch.default_generator.manual_seed(seed)


class ViewSet(Dataset):
    """A map from draws to items: every view a function of (seed, epoch, image, repeat, view's name) alone.

    A file is decoded once for all its views when crops come from boxes. `size_hint` lets large JPEGs be decoded small.
    Raises DataError at construction when a view needs crops that are not there, listing them.
    """

    def __init__(
        self,
        images: ImageSet,
        views: dict[str, View],
        *,
        crops: Crops | None = None,
        seed: int = 0,
        crop_bottom: int = 0,
        size_hint: int | None = None,
    ) -> None:
        self.images, self.views, self.crops = images, dict(views), crops
        self.seed, self.crop_bottom, self.size_hint = seed, crop_bottom, size_hint
        self._transforms = {name: make_transform(view) for name, view in views.items()}
        self._sources = {view.source for view in views.values()}
        if "crop" in self._sources:
            self._check_crops()

    def _check_crops(self) -> None:
        """Raise DataError unless every image has a crop."""
        needing = ", ".join(name for name, view in self.views.items() if view.source == "crop")
        if self.crops is None:
            raise DataError(f"views {needing} look at crops, but no crop folder is given; run DDT and pass its folder")
        absent = self.crops.missing(self.images)
        if absent:
            raise DataError(
                f"{self.crops.root}: {len(absent)} of {len(self.images)} images of {self.images.split} have no crop "
                f"({show(absent)}); run DDT on this data set, or check that the crops belong to it"
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Item:
        """All views of one image; the global generators are left undisturbed."""
        sample = self.images.samples[draw.index]
        contexts = self._load_contexts(sample)
        with preserved_generators():
            views = {name: self._render(name, contexts, draw) for name in self.views}
        return Item(views, draw.index, -1 if sample.label is None else sample.label)

    def _load_contexts(self, sample: Sample) -> dict[str, Image.Image]:
        """The pictures that the views need, by source, with as few decodes as possible."""
        by_file = self.crops is not None and self.crops.boxes is None
        if self._sources == {"crop"} and by_file:
            return {"crop": self.crops.crop(sample)}
        photo: Photo = load_photo(sample.path, self.crop_bottom, self.size_hint)
        contexts = {"full": photo.image}
        if "crop" in self._sources:
            contexts["crop"] = self.crops.crop(sample, photo.image, photo.scale)
        return contexts

    def _render(self, name: str, contexts: dict[str, Image.Image], draw: Draw) -> Tensor:
        """One view, from its own seed."""
        seed_generators(per_view_seed(self.seed, draw.epoch, draw.index, draw.repeat, name))
        return self._transforms[name](contexts[self.views[name].source])
