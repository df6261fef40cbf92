"""Given pictures through a network, batch by batch, as the commands show theirs: `BatchLook`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.loader import Batch
from datasets.views.given import GivenBatch, GivenPictures, read_given
from datasets.views.recipes import View
from evaluation.features.compute import BatchLook, Outputs
from evaluation.metrics.inspection import need_finite

BATCH_SIZE = 64  # that of the commands


@dataclass(frozen=True)
class GivenLook:
    """How a network looks at pictures; `crop_bottom` pixel rows of each are dropped first."""

    view: View
    device: torch.device
    precision: str
    crop_bottom: int

    def at(
        self, images: GivenPictures, ask: Outputs, batch_size: int, *, fill: bool, progress: bool, threads: int
    ) -> Iterator[tuple[GivenBatch, dict[str, Tensor]]]:
        """Each batch with what `ask` (in eval mode) says of it: rows [B, ...] float32 by name, on the CPU.

        With `fill`, a batch of fewer pictures is filled up meanwhile. `progress` shows a bar on stderr. Raises
        DataError for pictures that cannot be read and BrokenNetwork for answers that are no numbers.
        """
        unlabelled = torch.full((max(batch_size, 0),), -1)
        look = BatchLook(lambda pixels, _: ask(pixels), self.device, self.precision, unlabelled,
                         batch_size if fill else 0)
        batches = read_given(images, self.view, batch_size, crop_bottom=self.crop_bottom, threads=threads)
        with tqdm(unit="img", disable=not progress, mininterval=0.5) as bar:
            for batch in batches:
                places = torch.arange(len(batch))
                rows = look.at(Batch({"view": batch.pixels}, places, unlabelled[places]))
                need_finite(rows, batch.names)
                yield batch, rows
                bar.update(len(batch))
