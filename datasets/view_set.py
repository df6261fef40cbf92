"""Several views of one image in two contexts: the full picture and the object's crop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from datasets.crops import Crops
from datasets.files import Photo, load_photo
from datasets.images import ImageSet
from datasets.layouts.listing import Sample, show_first
from datasets.loader import Item, per_view_seed
from datasets.sampling.batches import Draw
from datasets.views.recipes import View, make_transform
from runtime.errors import DataError


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
                f"({show_first(absent)}); run DDT on this data set, or check that the crops belong to it"
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
        crops = self.crops if "crop" in self._sources else None
        if crops is not None and crops.boxes is None and self._sources == {"crop"}:
            return {"crop": crops.crop(sample)}
        photo: Photo = load_photo(sample.path, self.crop_bottom, self.size_hint)
        contexts = {"full": photo.image}
        if crops is not None:
            contexts["crop"] = crops.crop(sample, photo.image, photo.scale)
        return contexts

    def _render(self, name: str, contexts: dict[str, Image.Image], draw: Draw) -> Tensor:
        """One view, from its own seed."""
        seed_generators(per_view_seed(self.seed, draw.epoch, draw.index, draw.repeat, name))
        return self._transforms[name](contexts[self.views[name].source])
