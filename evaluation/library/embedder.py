"""Embeddings of pictures in a program: the numbers of `tools.embed`, without its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.views.given import GivenPictures, holds_one_picture
from datasets.views.recipes import View
from evaluation.features.sources import find_recipe
from evaluation.features.subject import find_feature
from evaluation.library.look import BATCH_SIZE, GivenLook
from evaluation.library.weights import check_looks, find_named_weights
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.options import FEATURES
from models.encoder import Encoder, load_encoder
from models.loading import load_quietly
from models.sizes import check_size
from runtime.devices import choose_device
from runtime.errors import ConfigError


@dataclass(frozen=True)
class Embedder:
    """An encoder in eval mode, which of its features is meant, and how it looks at pictures. Threads may share one."""

    encoder: Encoder
    source: str
    feature: str
    look: GivenLook

    @property
    def width(self) -> int:
        """Numbers of an embedding, D."""
        return self.encoder.width(self.feature)

    def embed(
        self, images: GivenPictures, *, unit: bool = True, batch_size: int | None = None, progress: bool = False,
        threads: int = 0,
    ) -> NDArray[np.float32]:
        """Embeddings float32 [N, D] of pictures in their order: rows of length 1, or as they are without `unit`.

        `images`: a path, a picture of Pillow, a uint8 array [H, W, 3], or any iterable of such; of one, [1, D]. A row
        depends on its picture and on `batch_size` alone: every batch is filled up to that, because kernels, and with
        them last bits, differ with the number of images. None is 64, as of `tools.embed`, but 1 for a single picture;
        a few at a time go faster with 1, too.
        `threads` decode (0: one a processor, 8 at most). Raises DataError with every picture of a batch that cannot be
        read, and BrokenNetwork when an output is NaN or infinite.
        """
        usual = 1 if holds_one_picture(images) else BATCH_SIZE
        size = usual if batch_size is None else batch_size
        rows = [torch.empty(0, self.width)]
        for _, found in self.look.at(
            images, self.encoder.outputs, size, fill=True, progress=progress, threads=threads
        ):
            values = found[self.feature]
            rows.append(normalise_embeddings(values.to(self.look.device)).cpu() if unit else values)
        return torch.cat(rows).numpy()


def open_embedder(
    path: str | os.PathLike[str], *, device: str | torch.device = "auto", feature: str = "gap", size: int = 0,
    view: str = "auto", arch: str | None = None, precision: str = "fp32", crop_bottom: int = 0,
) -> Embedder:
    """An encoder to embed pictures with: a run's folder, a file of weights, `package:efficientnet-lite0`, or `hub`.

    `device`: "auto", "cpu", "cuda", "cuda:1", "mps". `feature`: "gap" the plain average, "masked" the
    attention-weighted one, "head" the projection, "joint" average and head side by side, "masked-or-gap" masked where
    there is a rationale branch, "auto" what the run chose without labels, else that. `size` in pixels and `view`, how a
    picture becomes a square, are those of the training unless given. `arch`: timm's name where the weights do not tell.
    `crop_bottom`: pixel rows to drop of every picture. Raises WeightsError or ConfigError.
    """
    weights = find_named_weights(path)
    if feature not in FEATURES:
        raise ConfigError(f"feature {feature!r}: known are {', '.join(FEATURES)}")
    recipe = find_recipe(weights.settings) if view == "auto" else view
    check_looks(recipe, precision)
    place, side = choose_device(device), size or int(weights.settings.get("size") or 224)
    with load_quietly():
        encoder = load_encoder(weights.source, arch=arch, device=place).to(memory_format=torch.channels_last)
        check_size(encoder.backbone, side, flag="size")
    look = GivenLook(View("full", recipe, side), place, precision, crop_bottom)
    return Embedder(encoder, weights.source, find_feature(feature, encoder, Path(weights.source)), look)
