"""Images in, feature maps out: batched, one forward pass per image, nothing kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datasets.images import DataError, ImageSet, Sample, decode
from datasets.views import View, make_transform
from DDT.localize import Frame
from models.backbones import Backbone


@dataclass(frozen=True)
class Reading:
    """How images become maps.

    size: pixels of the square that images are squashed to. layer: index into the network's stages, -1 the last.
    crop_bottom: pixel rows dropped first. precision: "fp32" or "bf16".
    """

    size: int = 448
    layer: int = -1
    crop_bottom: int = 0
    batch_size: int = 16
    workers: int = 0
    precision: str = "fp32"


@dataclass(frozen=True)
class Picture:
    """One squashed image uint8 [3, size, size] and the size it had, or the reason why it could not be read."""

    pixels: Tensor | None = None
    frame: Frame | None = None
    problem: str = ""


@dataclass(frozen=True)
class MapBatch:
    """Feature maps float32 [B, C, h, w] of the samples `start`, `start + 1`, ... and the sizes of their images."""

    start: int
    maps: Tensor
    frames: list[Frame]


class Pictures(Dataset):
    """Squashed images by position in a list of samples."""

    def __init__(self, samples: Sequence[Sample], size: int, crop_bottom: int) -> None:
        self.samples, self.crop_bottom = samples, crop_bottom
        self.squash = make_transform(View("full", "squash-exact", size))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Picture:
        """Decode and squash; a problem travels as a message, so that workers need not raise."""
        try:
            image = decode(self.samples[index].path, crop_bottom=self.crop_bottom)
        except (DataError, OSError) as error:
            return Picture(problem=str(error))
        return Picture(self.squash(image), Frame(*image.size))


def stack(pictures: list[Picture]) -> tuple[Tensor, list[Frame]]:
    """One batch: pixels uint8 [B, 3, size, size] and sizes; raises DataError with every problem in it."""
    problems = [picture.problem for picture in pictures if picture.problem]
    if problems:
        raise DataError("\n".join(problems) + "\nrepair or remove these images, or start again with --skip-bad")
    return torch.stack([picture.pixels for picture in pictures]), [picture.frame for picture in pictures]


def slice_batches(count: int, batch_size: int, first: int = 0) -> list[range]:
    """Consecutive slices of range(count) from the one that holds `first` on; slices never depend on `first`."""
    starts = range(first // batch_size * batch_size, count, batch_size)
    return [range(start, min(start + batch_size, count)) for start in starts]


def stream_maps(
    backbone: Backbone, samples: Sequence[Sample], reading: Reading, *, device: torch.device, first: int = 0
) -> Iterator[MapBatch]:
    """Maps of samples in order, from the batch that holds `first` on, so that a continued run repeats whole batches."""
    batches = slice_batches(len(samples), reading.batch_size, first)
    pictures = Pictures(samples, reading.size, reading.crop_bottom)
    loader = DataLoader(pictures, batch_sampler=batches, num_workers=reading.workers, collate_fn=list)
    for batch, loaded in zip(batches, loader, strict=True):
        pixels, frames = stack(loaded)
        yield MapBatch(batch.start, read_maps(backbone, pixels.to(device, non_blocking=True), reading), frames)


@torch.no_grad()
def read_maps(backbone: Backbone, pixels: Tensor, reading: Reading) -> Tensor:
    """Feature maps float32 [B, C, h, w] of images uint8 [B, 3, size, size]."""
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=reading.precision == "bf16"):
        return backbone.intermediate(pixels, reading.layer).float()


def choose_precision(word: str, device: torch.device) -> str:
    """bf16 for "auto" on a CUDA device that computes in it, else fp32; any other word stands."""
    if word != "auto":
        return word
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def gather_samples(splits: dict[str, ImageSet]) -> list[Sample]:
    """The samples of all splits in order, each key once."""
    return list({sample.key: sample for images in splits.values() for sample in images.samples}.values())
