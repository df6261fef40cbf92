"""Images in, feature maps out: batch by batch, nothing kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datasets.files import decode
from datasets.layouts.listing import Sample
from datasets.views.recipes import View, make_transform
from DDT.localize import Frame
from models.backbones import Backbone
from models.classifiers.folding import fold_batch_norms
from runtime.errors import BrokenNetwork, DataError

Samples = tuple[Sample, ...]


@dataclass(frozen=True)
class MapReading:
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
    """Feature maps float32 [B, C, h, w], with the keys and sizes of their images."""

    keys: tuple[str, ...]
    maps: Tensor
    frames: list[Frame]


class Pictures(Dataset):
    """Squashed images of samples."""

    def __init__(self, size: int, crop_bottom: int) -> None:
        self.crop_bottom = crop_bottom
        self.squash = make_transform(View("full", "squash-exact", size))

    def __getitem__(self, sample: Sample) -> Picture:
        """Decode and squash; a problem travels as a message, so that workers need not raise."""
        try:
            image = decode(sample.path, crop_bottom=self.crop_bottom)
        except (DataError, OSError) as error:
            return Picture(problem=str(error))
        return Picture(self.squash(image), Frame(*image.size))


def stack(pictures: list[Picture]) -> tuple[Tensor, list[Frame]]:
    """One batch: pixels uint8 [B, 3, size, size] and sizes; raises DataError with every problem in it."""
    problems = [picture.problem for picture in pictures if picture.problem]
    if problems:
        raise DataError("\n".join(problems) + "\nrepair or remove these images, or leave them out: begin the folder "
                        "anew with --restart --skip-bad")
    pixels = [picture.pixels for picture in pictures if picture.pixels is not None]
    return torch.stack(pixels), [picture.frame for picture in pictures if picture.frame is not None]


def slice_batches(splits: Iterable[Iterable[Sample]], batch_size: int) -> list[Samples]:
    """Consecutive slices of the splits' samples, each key once; no batch holds images of two splits.

    So the training images form the same batches whether or not others follow.
    """
    batches: list[Samples] = []
    seen: set[str] = set()
    for split in splits:
        fresh = tuple({sample.key: sample for sample in split if sample.key not in seen}.values())
        seen.update(sample.key for sample in fresh)
        batches += [fresh[start : start + batch_size] for start in range(0, len(fresh), batch_size)]
    return batches


def prepare_backbone(backbone: Backbone) -> Backbone:
    """The network in the form that answers fastest, to the same answers but for rounding.

    Convolutions prefer channels-last: a tenth to a quarter faster on CPUs, more in bf16 on CUDA. Batch norms folded
    into them save another sixth for ResNet-50 and a quarter for EfficientNet-Lite0 on a CPU.
    """
    sides, device = (backbone.input_size, backbone.input_size), backbone.mean.device
    images = torch.randint(256, (1, 3, *sides), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return fold_batch_norms(backbone.eval().to(memory_format=torch.channels_last), images.to(device))


def stream_maps(
    backbone: Backbone, reading: MapReading, device: torch.device, batches: Sequence[Samples]
) -> Iterator[MapBatch]:
    """Maps of batches of samples, in order; raises DataError with every problem of a batch, and for maps of NaN."""
    pictures = Pictures(reading.size, reading.crop_bottom)
    asked = [list(batch) for batch in batches]
    loader = DataLoader(pictures, batch_sampler=asked, num_workers=reading.workers, collate_fn=list)
    for batch, loaded in zip(batches, loader, strict=True):
        pixels, frames = stack(loaded)
        keys = tuple(sample.key for sample in batch)
        maps = read_maps(backbone, pixels.to(device, non_blocking=True), reading)
        need_numbers(maps, keys)
        yield MapBatch(keys, maps, frames)


def need_numbers(maps: Tensor, keys: Sequence[str]) -> None:
    """Raise BrokenNetwork when a map [B, C, h, w] is NaN or infinite: its box would be made of nothing."""
    bad = [key for key, whole in zip(keys, torch.isfinite(maps).flatten(1).all(dim=1).tolist()) if not whole]
    if bad:
        raise BrokenNetwork(f"the network returns NaN or infinity to {len(bad)} of {len(keys)} pictures ({bad[0]}"
                            f"{', ...' * (len(bad) > 1)}); take other weights, or --precision fp32")


@torch.no_grad()
def read_maps(backbone: Backbone, pixels: Tensor, reading: MapReading) -> Tensor:
    """Feature maps float32 [B, C, h, w] of images uint8 [B, 3, size, size]."""
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=reading.precision == "bf16"):
        return backbone.intermediate(pixels, reading.layer).float()


def choose_map_precision(word: str, device: torch.device, backbone: Backbone) -> str:
    """"auto" becomes bf16 where that is faster, else fp32; any other word stands.

    Faster are CUDA devices that compute in it, and CPUs with AMX unless the network convolves channel by channel. The
    answer depends on machine and network alone and is not timed, so that a continued run finds the same settings.
    """
    if word != "auto":
        return word
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and has_amx() and not convolves_by_channel(backbone) else "fp32"


def has_amx() -> bool:
    """Whether this processor multiplies bfloat16 tiles."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def convolves_by_channel(network: torch.nn.Module) -> bool:
    """Whether a network has depth-wise convolutions, as EfficientNets and MobileNets do."""
    convolutions = (part for part in network.modules() if isinstance(part, torch.nn.Conv2d))
    return any(part.groups == part.in_channels > 1 for part in convolutions)
