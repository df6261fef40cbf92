"""Features of a whole image set: computed once, placed by index, kept on disk under a hash of all they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import PIL
import timm
import torch
import torchvision
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from datasets.crops import Crops
from datasets.images import ImageSet
from datasets.layouts.listing import Sample
from datasets.loader import Batch, make_loader
from datasets.sampling.batches import Draw, SequentialBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from evaluation.metrics.inspection import need_finite, tell_sameness
from runtime import distributed
from runtime.errors import StopTraining
from runtime.files import hash_file, write_atomically
from runtime.precision import autocast

# What decodes and computes: another release may give other pixels and other sums. `features` counts our own changes.
VERSIONS = {"features": 2, "torch": torch.__version__, "torchvision": torchvision.__version__,
            "timm": timm.__version__, "Pillow": PIL.__version__}
Outputs = Callable[[Tensor], dict[str, Tensor]]
Labelled = Callable[[Tensor, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Features:
    """Feature tensors by name, float32 [N, D] each, in the order of the image set; labels int64 [N] (-1 = none).

    `images_per_second` is that of the extraction, also when the tensors came from the cache (`cached`).
    """

    tensors: dict[str, Tensor]
    labels: Tensor
    keys: list[str]
    images_per_second: float
    cached: bool = False


@dataclass(frozen=True)
class _Epoch:
    """Every image of this rank once, in order, drawn for a given epoch."""

    batches: SequentialBatches
    epoch: int

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        for batch in self.batches:
            yield [Draw(draw.index, self.epoch) for draw in batch]


def extract(
    outputs: Outputs | Labelled,
    images: ImageSet,
    view: View,
    *,
    labelled: bool = False,
    crops: Crops | None = None,
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    seed: int = 0,
    epoch: int = 0,
    crop_bottom: int = 0,
    cache: Path | None = None,
    cache_key: str = "",
    bar: tqdm | None = None,
) -> Features:
    """`outputs` of every image of the set in one view; several ranks share the work and all get the whole answer.

    `outputs` maps uint8 [B, 3, H, W] to tensors [B, D] and must be in eval mode, so that neither order nor batch size
    matters; `labelled` hands it each batch's labels, int64 [B], too. `cache` is a folder; `cache_key` says which
    network this is (the fingerprint of its weights). A random view is a function of (seed, epoch, image). Raises
    DataError for images or crops that cannot be read, and BrokenNetwork when an output is NaN or infinite; outputs that
    are the same of all images are said.
    """
    dataset = ViewSet(images, {"view": view}, crops=crops, seed=seed, crop_bottom=crop_bottom)
    facts = {"weights": cache_key, "view": asdict(view), "precision": precision, "crop_bottom": crop_bottom,
             "draw": [seed, epoch], "images": identify_files(images, crops if view.source == "crop" else None),
             "device": torch.device(device).type, "versions": VERSIONS}
    if labelled:
        facts["labels"] = images.labels.tolist()
    path = _cache_path(cache, facts)
    found = read_cache(path, images) if path is not None and distributed.is_main() else None
    found = distributed.broadcast_object(found)
    if found is not None:
        return _inspect(found)
    mine = SequentialBatches(len(images), batch_size, rank=distributed.rank(), world=distributed.world())
    start = time.perf_counter()
    shown = bar if bar is not None else _make_bar(images)
    batches = make_loader(dataset, _Epoch(mine, epoch), workers=workers)
    ask = cast(Labelled, outputs) if labelled else lambda pixels, _: cast(Outputs, outputs)(pixels)
    rows, index = _run(ask, batches, torch.device(device), precision, shown, images.labels)
    if bar is None:
        shown.close()
    tensors = _scatter(rows, index, len(images))
    features = _inspect(Features(tensors, images.labels, _keys(images), len(images) / (time.perf_counter() - start)))
    if path is not None and distributed.is_main():
        _write_cache(path, features)
    distributed.barrier()
    return features


def _inspect(features: Features) -> Features:
    """The features, of which something may be said; raises BrokenNetwork for NaN and infinity."""
    need_finite(features.tensors, features.keys)
    if distributed.is_main():
        tell_sameness(features.tensors, features.keys)
    return features


def _make_bar(images: ImageSet) -> tqdm:
    return tqdm(total=len(images), unit="img", desc=f"features of {images.split}", file=sys.stderr,
                disable=not distributed.is_main(), mininterval=0.5)


@torch.no_grad()
def _run(
    ask: Labelled, batches: Iterable[Batch], device: torch.device, precision: str, bar: tqdm, labels: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """This rank's outputs, in the order they were computed, and the image index of every row."""
    parts: dict[str, list[Tensor]] = {}
    indices = []
    for batch in batches:
        pixels = batch.views["view"].to(device, memory_format=torch.channels_last, non_blocking=True)
        with autocast(device, precision):
            answer = ask(pixels, labels[batch.index].to(device))
        for name, value in answer.items():
            parts.setdefault(name, []).append(value.detach().float().cpu())
        indices.append(batch.index)
        bar.update(len(batch) * distributed.world())
    return {name: torch.cat(values) for name, values in parts.items()}, torch.cat(indices or [torch.empty(0).long()])


def _scatter(rows: dict[str, Tensor], index: Tensor, count: int) -> dict[str, Tensor]:
    """Rows of all ranks at their image's place: [N, D]. Raises RuntimeError when an image has no row."""
    shares = distributed.gather_objects((rows, index))
    seen = torch.cat([share_index for _, share_index in shares])
    if not torch.equal(seen.sort().values, torch.arange(count)):
        raise RuntimeError(f"{len(seen.unique())} of {count} images have features, in {len(seen)} rows")
    names = next(share_rows for share_rows, share_index in shares if len(share_index))
    tensors = {}
    for name in names:
        values = torch.cat([share_rows[name] for share_rows, share_index in shares if len(share_index)])
        tensors[name] = torch.empty_like(values).index_copy_(0, seen, values)
    return tensors


def _keys(images: ImageSet) -> list[str]:
    return [sample.key for sample in images.samples]


def identify_files(images: ImageSet, crops: Crops | None) -> str:
    """A hash of the names, sizes and times of the files (and the boxes) that the features are made of.

    The time of the last change of any kind is among them: it moves when a file is replaced under its old date.
    """
    digest = hashlib.sha256(images.fingerprint().encode())
    for sample in images.samples:
        status = os.stat(_find_file(sample, crops))
        digest.update(f"{status.st_size}/{status.st_mtime_ns}/{status.st_ctime_ns}\n".encode())
        digest.update(_find_box(sample, crops).encode())
    return digest.hexdigest()


def hash_contents(images: ImageSet, crops: Crops | None) -> str:
    """A hash of the names and the bytes of the files (and the boxes): another after any change, the same of a copy."""
    digest = hashlib.sha256(images.fingerprint().encode())
    for sample in images.samples:
        digest.update(f"{hash_file(_find_file(sample, crops))}\n{_find_box(sample, crops)}".encode())
    return digest.hexdigest()


def _find_file(sample: Sample, crops: Crops | None) -> Path:
    """The file that is read for an image."""
    return crops.root / sample.key if crops is not None and crops.boxes is None else sample.path


def _find_box(sample: Sample, crops: Crops | None) -> str:
    """The box that is cut out, in words; "" for none."""
    return repr(crops.boxes[sample.key]) if crops is not None and crops.boxes is not None else ""


def _cache_path(cache: Path | None, facts: dict[str, object]) -> Path | None:
    if cache is None:
        return None
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Path(cache) / f"features-{digest[:32]}.safetensors"


def read_cache(path: Path, images: ImageSet) -> Features | None:
    """The features of a cache file; None, with a note where there is a file, for one that is not whole.

    It is then computed anew and replaced.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            told = file.metadata() or {}
        whole = told["sha256"] == _hash(tensors) and all(len(rows) == len(images) for rows in tensors.values())
        if tensors and whole:
            return Features(tensors, images.labels, _keys(images), float(told["images_per_second"]), cached=True)
        fault = "its content is not what was written"
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        fault = str(error)
    print(f"note: {path} is damaged ({fault}); its features are computed anew", file=sys.stderr)
    return None


def _hash(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, rows in sorted(tensors.items()):
        digest.update(f"{name} {list(rows.shape)}\n".encode())
        digest.update(rows.contiguous().numpy().data)
    return digest.hexdigest()


def _write_cache(path: Path, features: Features) -> None:
    """Written beside its place and moved there, so that none is read half-written; a full disk costs the cache only."""
    contiguous = {name: value.contiguous() for name, value in features.tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {"images_per_second": repr(features.images_per_second), "sha256": _hash(contiguous)}
        write_atomically(path, lambda draft: save_file(contiguous, draft, metadata=told))
    except (OSError, SafetensorError, StopTraining) as error:
        print(f"note: features are not kept for next time: {error}", file=sys.stderr)
