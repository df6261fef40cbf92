"""What a trained classifier sees in pictures, in a program: the numbers of `tools.infer`, without its files."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.views.given import GivenPictures
from datasets.views.recipes import View
from evaluation.classifier.trained import load_saved
from evaluation.library.look import BATCH_SIZE, GivenLook
from evaluation.library.weights import check_looks, find_named_weights
from models.loading import load_quietly
from models.network import ClassNetwork
from runtime.devices import choose_device
from runtime.errors import ConfigError


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of a picture, the surest first: names, probabilities, and numbers counted from 0."""

    names: tuple[str, ...]
    probabilities: tuple[float, ...]
    classes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The first of them."""
        return self.names[0]

    @property
    def probability(self) -> float:
        """That of the first."""
        return self.probabilities[0]


@dataclass
class Recogniser:
    """A classifier in eval mode, its classes in the order of their numbers, and how it looks at pictures.

    Threads may share one; they wait for each other, since a plug-in module listens to its own layers meanwhile.
    """

    network: ClassNetwork
    source: str
    names: tuple[str, ...]
    look: GivenLook
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def predict(
        self, images: GivenPictures, *, top: int = 5, batch_size: int = BATCH_SIZE, progress: bool = False,
        threads: int = 0,
    ) -> list[Prediction]:
        """The `top` classes of every picture, in the order of the pictures; everything else as of `probabilities`."""
        if top < 1:
            raise ConfigError(f"top {top}: give 1 or more")
        shares = self.probabilities(images, batch_size=batch_size, progress=progress, threads=threads)
        values, numbers = torch.from_numpy(shares).topk(min(top, len(self.names)), dim=1)
        return [Prediction(tuple(self.names[number] for number in best), tuple(found), tuple(best))
                for best, found in zip(numbers.tolist(), values.tolist())]

    def probabilities(
        self, images: GivenPictures, *, batch_size: int = BATCH_SIZE, progress: bool = False, threads: int = 0
    ) -> NDArray[np.float32]:
        """Probabilities float32 [N, K] of pictures in their order, K as in `names`.

        `images`: a path, a picture of Pillow, a uint8 array [H, W, 3], or any iterable of such; of one, [1, K].
        `threads` decode (0: one a processor, 8 at most). Raises DataError with every picture of a batch that cannot be
        read, and BrokenNetwork when an output is NaN or infinite.
        """
        rows = [torch.empty(0, len(self.names))]
        rows += [found[self.network.answer] for _, found in self.look.at(
            images, self._ask, batch_size, fill=False, progress=progress, threads=threads)]
        return torch.cat(rows).softmax(dim=1).numpy()

    def _ask(self, pixels: Tensor) -> dict[str, Tensor]:
        """The network's answers, to one thread at a time."""
        with self._turn:
            return self.network.outputs(pixels)

    def __getstate__(self) -> dict[str, object]:
        """Everything but the lock, which stays in its process."""
        return {name: value for name, value in vars(self).items() if name != "_turn"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """With a lock of this process."""
        vars(self).update(state, _turn=threading.Lock())


def open_recogniser(
    path: str | os.PathLike[str], *, device: str | torch.device = "auto", class_names: Sequence[str] | None = None,
    size: int = 0, view: str = "auto", arch: str | None = None, num_selects: Sequence[int] | None = None,
    precision: str = "fp32", crop_bottom: int | None = None,
) -> Recogniser:
    """A classifier to recognise with: the folder or a file of a run of main_finetune.py, or a public checkpoint's file.

    `device`: "auto", "cpu", "cuda", "cuda:1", "mps". `size` in pixels, `view` and `crop_bottom` (pixel rows to drop of
    every picture) are those of the training unless given. A public file also needs `arch` (timm's name; swin-t,
    resnet50, vit for PIM's), `class_names` in the order of its logits and, where they are not the published numbers,
    the `num_selects` of its plug-in module. Raises WeightsError or ConfigError.
    """
    weights = find_named_weights(path)
    if weights.source == "hub" or weights.source.startswith("package:"):
        raise ConfigError(f"{weights.source}: these weights name no classes of yours; give a network that "
                          "main_finetune.py trained, or a public checkpoint of a classifier")
    place = choose_device(device)
    with load_quietly():
        saved = load_saved(weights.source, arch=arch, size=size, selects=num_selects)
    recipe = str(saved.view["recipe"]) if view == "auto" else view
    check_looks(recipe, precision)
    rows = weights.settings.get("crop_bottom") if crop_bottom is None else crop_bottom
    look = GivenLook(View("full", recipe, size or int(saved.view["size"])), place, precision,
                     rows if isinstance(rows, int) else 0)
    network = saved.network.to(place).to(memory_format=torch.channels_last)
    names = tuple(class_names or saved.class_names)
    if len(names) != network.classes:
        raise ConfigError(f"{weights.source} tells {network.classes} classes apart, and {len(names)} names are known: "
                          "give as many as class_names, in their order")
    return Recogniser(network, weights.source, names, look)
