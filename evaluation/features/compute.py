"""Pictures through a network, batch by batch, shared by all ranks and handed out in pieces that can be saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.loader import Batch
from datasets.sampling.batches import Draw
from runtime import distributed
from runtime.precision import autocast

SAVED_EVERY, SAVED_MOST = 45.0, 4096  # seconds and images between two savings
Outputs = Callable[[Tensor], dict[str, Tensor]]
Labelled = Callable[[Tensor, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Share:
    """This rank's batches of the images at some places: every world-th, in order, drawn for a given epoch."""

    places: Sequence[int]
    batch_size: int
    epoch: int

    @property
    def steps(self) -> int:
        """Batches of the rank that has most."""
        return -(-len(self.places) // (self.batch_size * distributed.world()))

    def __len__(self) -> int:
        """Batches of this rank."""
        return -(-len(self._own()) // self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        """The draws of each batch."""
        own = self._own()
        for start in range(0, len(own), self.batch_size):
            yield [Draw(place, self.epoch) for place in own[start : start + self.batch_size]]

    def _own(self) -> Sequence[int]:
        return self.places[distributed.rank() :: distributed.world()]


@dataclass(frozen=True)
class BatchLook:
    """How a network (`ask`, in eval mode) is shown a batch; `labels` int64 [N] are those of all images.

    A batch of fewer than `fill` images is filled up with its last one, and what is said of that is cut off.
    """

    ask: Labelled
    device: torch.device
    precision: str
    labels: Tensor
    fill: int = 0

    @torch.no_grad()
    def at(self, batch: Batch) -> dict[str, Tensor]:
        """Rows [B, ...] float32 by name, on the CPU."""
        places = torch.arange(max(len(batch), self.fill)).clamp(max=len(batch) - 1)
        pixels, labels = batch.views["view"], self.labels[batch.index]
        if len(places) > len(batch):
            pixels, labels = pixels[places], labels[places]
        pixels = pixels.to(self.device, memory_format=torch.channels_last, non_blocking=True)
        with autocast(self.device, self.precision):
            answer = self.ask(pixels, labels.to(self.device, non_blocking=True))
        return {name: value[: len(batch)].detach().float().cpu() for name, value in answer.items()}


@dataclass(frozen=True)
class Piece:
    """What all ranks computed together: rows [n, ...] by name, the image index of each [n], and seconds it took."""

    rows: dict[str, Tensor]
    index: Tensor
    seconds: float


def compute_pieces(
    look: BatchLook, batches: Iterable[Batch], share: Share, bar: tqdm, *, saved: bool
) -> Iterator[Piece]:
    """All images of the share, the whole answer to every rank; in one piece unless what is computed will be `saved`.

    Then the first piece is one batch, and those that follow are as long as speed allows within SAVED_EVERY.
    """
    waiting = iter(batches)
    done, now = 0, 1 if saved else share.steps
    while done < share.steps:
        start = time.perf_counter()
        piece = _gather(*_run(look, islice(waiting, now), bar))
        seconds = time.perf_counter() - start
        yield Piece(*piece, seconds)
        done += now
        now = distributed.broadcast_object(_choose_length(now, seconds, share)) if saved else now


def _choose_length(steps: int, seconds: float, share: Share) -> int:
    """Batches of the next piece, after one of `steps` batches that took so long."""
    most = max(SAVED_MOST // (share.batch_size * distributed.world()), 1)
    return max(min(int(SAVED_EVERY * steps / max(seconds, 1e-6)), most), 1)


def _run(look: BatchLook, batches: Iterable[Batch], bar: tqdm) -> tuple[dict[str, Tensor], Tensor]:
    """This rank's rows, in the order they were computed, and the image index of each."""
    parts: dict[str, list[Tensor]] = {}
    indices = [torch.empty(0, dtype=torch.long)]
    for batch in batches:
        for name, value in look.at(batch).items():
            parts.setdefault(name, []).append(value)
        indices.append(batch.index)
        bar.update(len(batch) * distributed.world())
    return {name: torch.cat(values) for name, values in parts.items()}, torch.cat(indices)


def _gather(rows: dict[str, Tensor], index: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Rows of all ranks and their image index."""
    shares = [(theirs, places) for theirs, places in distributed.gather_objects((rows, index)) if len(places)]
    names = shares[0][0]
    return {name: torch.cat([theirs[name] for theirs, _ in shares]) for name in names}, torch.cat(
        [places for _, places in shares])
