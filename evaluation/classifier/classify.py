"""From a classifier and images to predictions: the one way, for training, evaluation and inference alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from datasets.images import ImageSet
from datasets.joint import Source
from datasets.views.recipes import View
from evaluation.classifier.positions import MARK, answer_by_position
from evaluation.features.compute import Labelled, Outputs
from evaluation.features.extract import extract
from evaluation.metrics.ensembles import Order, ensemble, find_global
from models.plug_in.module import PlugIn
from runtime.errors import DataError


class BranchNetwork(Protocol):
    """A network with logits by branch; `answer` names the branch that is its prediction."""

    answer: str
    training: bool

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 [B, 3, H, W] -> float32 logits [B, K] by branch."""

    def train(self, mode: bool = True) -> object:
        """Switch between training and evaluation."""


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about a set of images, in their order.

    `labels` int64 [N] (-1 = none); `logits` float32 [N, K] by branch; `probabilities` [N, K] of the branch `answer`;
    `ensembles` probabilities [N, K] by name ("highest-1", ...), {} for a network with fewer than two global branches;
    `positions` shares [N, 2] of positions that are right at top-1 and top-3 by name ("select_layer1", "drop_layer1",
    ...), {} for a network without a selector.
    """

    keys: list[str]
    labels: Tensor
    answer: str
    logits: dict[str, Tensor]
    probabilities: Tensor
    ensembles: dict[str, Tensor]
    positions: dict[str, Tensor]
    sources: tuple[Source, ...]
    images_per_second: float

    @property
    def predicted(self) -> Tensor:
        """The class with the highest logit of every image, int64 [N]; of equals the lowest.

        Not of the probabilities: rounded, they can be equal where logits are not.
        """
        return self.logits[self.answer].argmax(dim=1)

    @property
    def branches(self) -> dict[str, Tensor]:
        """Logits of the branches, then probabilities of the ensembles: all that can be scored by rank."""
        return self.logits | self.ensembles


def classify(
    network: BranchNetwork,
    images: ImageSet,
    view: View,
    *,
    sources: Sequence[Source] = (),
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    workers: int = 0,
    precision: str = "fp32",
    order: Order = "descending",
    crop_bottom: int = 0,
    caches: Sequence[Path] = (),
    cache_key: str = "",
) -> Predictions:
    """Logits of every image in one view, and what follows from them; the network must be on `device`.

    It is in eval mode meanwhile, and afterwards in the mode it was in. `order` is that of the ensembles, `caches` and
    `cache_key` are those of `extract`. Raises DataError for images that cannot be read, or with a label that the
    network has no class for.
    """
    mode = network.training
    network.train(False)
    try:
        ask: Outputs | Labelled = network.outputs
        by_position = False
        if isinstance(network, PlugIn) and network.selects and bool((images.labels >= 0).any()):
            ask, by_position = partial(answer_by_position, network), True
        found = extract(ask, images, view, labelled=by_position, device=device, batch_size=batch_size, workers=workers,
                        precision=precision, crop_bottom=crop_bottom, caches=caches, cache_key=cache_key)
    finally:
        network.train(mode)
    logits = {name: value for name, value in found.tensors.items() if not name.startswith(MARK)}
    positions = {name.removeprefix(MARK): value for name, value in found.tensors.items() if name.startswith(MARK)}
    classes = logits[network.answer].shape[1]
    if len(found.labels) and int(found.labels.max()) >= classes:
        raise DataError(f"{images.root}: its labels go up to {int(found.labels.max())}, but the network tells "
                        f"{classes} classes (0 to {classes - 1}) apart; give the data set that it was trained on")
    together = find_global(logits)
    ensembles = ensemble({name: logits[name] for name in together}, order) if len(together) > 1 else {}
    return Predictions(found.keys, found.labels, network.answer, logits, logits[network.answer].softmax(dim=1),
                       ensembles, positions, tuple(sources), found.images_per_second)
